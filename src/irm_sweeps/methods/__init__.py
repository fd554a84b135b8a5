"""Methods: each a game whose players minimise scalars of (parameters, batch of environments, lam, step)."""
