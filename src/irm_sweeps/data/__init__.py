"""What a trial trains on: sources (files of real data) and the environments drawn from them."""
