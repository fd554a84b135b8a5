"""Overrides as a user types them: paired axes, and what is said of those that cannot be read or name no key."""
