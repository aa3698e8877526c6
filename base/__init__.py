"""Parameters, settings, stages and files, used by all other packages. Imports nothing of ours."""
