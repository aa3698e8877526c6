"""How often the gate is right: real releases shown to simulated users, over and over."""
