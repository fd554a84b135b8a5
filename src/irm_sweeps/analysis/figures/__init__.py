"""Figures: the series they show, and how they are drawn."""
