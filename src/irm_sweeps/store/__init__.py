"""The store: a shared directory with the results, claims and checkpoints of trials."""
