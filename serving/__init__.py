"""What answers a request: release, policy, feedback log, channels, the Bento service."""
