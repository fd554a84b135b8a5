"""The table of a user's own sweep: its trials, rows and columns, formats and last lines."""
