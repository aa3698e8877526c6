"""Off-policy value: what a release would have earned on slates that another one served."""
