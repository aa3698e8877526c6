"""Answer requests: release, policy, feedback log, channels and the Bento service."""
