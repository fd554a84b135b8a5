"""Methods: each is a game whose players minimise scalar functions of (parameters, batch of environments, lam, step)."""
