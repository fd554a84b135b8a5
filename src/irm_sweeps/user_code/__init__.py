"""The code of a user's own classes: which modules it is, what they held when imported, its digest, its kept copy."""
