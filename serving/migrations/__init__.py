"""Alembic's scripts: see README.md beside this file."""
