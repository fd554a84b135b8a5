"""Launchers: start the workers of a sweep in this process, on this machine or on a SLURM cluster."""
