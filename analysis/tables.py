"""Print a paper's table: `python analysis/tables.py --help`."""

from irm_sweeps.analysis.table_command import main

if __name__ == "__main__":
    main()
