"""The front door: `python launch.py --help`."""

import os
import sys

import hydra
from omegaconf import DictConfig

from irm_sweeps.compose import addressed_to_trials, own_conf_dir, plain, readable_hydra_errors
from irm_sweeps.errors import one_line_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def launch(config: DictConfig) -> float:
    """Run one trial and return what a searching sweeper maximises; `-m` goes through the sweeper instead."""
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.sweep.front import run_trial

    with one_line_errors():
        return run_trial(plain(config), InProcess())


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets a user's mistake arrive here, to become one line
    sys.path.append(os.getcwd())  # where a user's own methods and data sets lie
    with one_line_errors(), readable_hydra_errors():
        if (own := own_conf_dir()) and "--config-dir" not in sys.argv:
            sys.argv += ["--config-dir", str(own)]
        sys.argv = addressed_to_trials(sys.argv)
        launch()
