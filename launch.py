"""The front door: `python launch.py --help`."""

from irm_sweeps.door import main

if __name__ == "__main__":
    main()
