"""The commands of `irm-sweeps`, a module each, with `add_parser` and `run`; and what they compute and print."""
