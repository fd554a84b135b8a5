"""Datasets: sources (files of real data) and the training and test environments drawn from them."""
