"""The commands of `irm-sweeps`, a file each."""
