"""Sweeps: which trials, what is done, who works on what, and how far it is."""
