"""Print the table of a sweep, or a paper's: `python analysis/tables.py --help`."""

from irm_sweeps.analysis.table_command import main

if __name__ == "__main__":
    main()
