"""Cut the log into time windows and queries (stage `split`)."""
