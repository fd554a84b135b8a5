"""Launchers: who starts the workers of a sweep, and where."""
