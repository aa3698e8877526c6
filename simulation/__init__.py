"""A simulated market whose users have known preferences and use the service over HTTP."""
