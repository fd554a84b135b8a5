"""Workers: processes that claim, train and finish the trials of a sweep."""
