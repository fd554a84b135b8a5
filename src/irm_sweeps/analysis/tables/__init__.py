"""A table of measured cells beside published ones, from readings to text, HTML, CSV and LaTeX."""
