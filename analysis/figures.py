"""Draw a figure: `python analysis/figures.py --help`."""

from irm_sweeps.analysis.figure_command import main

if __name__ == "__main__":
    main()
