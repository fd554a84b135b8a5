"""`python -m irm_sweeps`: the same as `irm-sweeps`."""

from irm_sweeps.cli import main

main()
