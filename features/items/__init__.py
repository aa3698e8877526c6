"""The catalogue as it was known at any moment."""
