"""The front door: `python launch.py --help`."""

from irm_sweeps.launch import main

if __name__ == "__main__":
    main()
