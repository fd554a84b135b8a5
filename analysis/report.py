"""Write the report, one HTML page: `python analysis/report.py --help`."""

from irm_sweeps.analysis.report_command import main

if __name__ == "__main__":
    main()
