"""What every package stands on: parameters, settings, stages, files. Imports nothing of ours."""
