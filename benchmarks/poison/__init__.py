"""How much fake users who push one item raise its exposure."""
