"""The names of components, trials and settings, in the words that a user types."""
