"""What is known of paper files: how they were run, what can have results, and which trials a table still needs."""
