"""The search for better parameters: `python -m training.tune`."""
