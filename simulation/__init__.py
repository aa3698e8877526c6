"""A market of users with known preferences, who use the service over HTTP like anyone else."""
