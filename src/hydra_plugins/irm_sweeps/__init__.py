"""The two adapters through which Hydra reaches irm_sweeps."""
