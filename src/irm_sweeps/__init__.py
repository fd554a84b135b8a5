"""Experiment sweeps for invariant-learning research: from one command to the paper's table.

These are the names that a file of your own imports, as in `from irm_sweeps import Penalized`; docs/reference/python.md
describes each. Everything else may change. Tests of your own import from `irm_sweeps.testing`.

A name's module is imported when the name is first used (PEP 562): every command and every worker imports this package,
and most need neither torch nor pandas at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irm_sweeps.analysis.tables.paired_frame import paired_differences
    from irm_sweeps.backbones.backbone import Backbone, Model, Parameters
    from irm_sweeps.config import Count, Number, PerTrial, Place
    from irm_sweeps.data.dataset import Array, Dataset, Environment, EvaluationSet, TrialData
    from irm_sweeps.draws import Draws
    from irm_sweeps.errors import UserError
    from irm_sweeps.loggers.logger import Logger, Run, Stream
    from irm_sweeps.methods.batch import Batch
    from irm_sweeps.methods.method import Check, Fresh, Method, Move, Pace, Point, Pooling, Turn
    from irm_sweeps.methods.penalized import Penalized
    from irm_sweeps.methods.stages import Boundary, Stage
    from irm_sweeps.store.frame import load_results
    from irm_sweeps.training.optimizers import Optimizer
    from irm_sweeps.trial import Trial

__all__ = [
    "Array",
    "Backbone",
    "Batch",
    "Boundary",
    "Check",
    "Count",
    "Dataset",
    "Draws",
    "Environment",
    "EvaluationSet",
    "Fresh",
    "Logger",
    "Method",
    "Model",
    "Move",
    "Number",
    "Optimizer",
    "Pace",
    "Parameters",
    "Penalized",
    "PerTrial",
    "Place",
    "Point",
    "Pooling",
    "Run",
    "Stage",
    "Stream",
    "Trial",
    "TrialData",
    "Turn",
    "UserError",
    "load_results",
    "paired_differences",
]
__version__ = "0.1.0"

_NAMES_OF = {
    "analysis.tables.paired_frame": ("paired_differences",),
    "backbones.backbone": ("Backbone", "Model", "Parameters"),
    "config": ("Count", "Number", "PerTrial", "Place"),
    "data.dataset": ("Array", "Dataset", "Environment", "EvaluationSet", "TrialData"),
    "draws": ("Draws",),
    "errors": ("UserError",),
    "loggers.logger": ("Logger", "Run", "Stream"),
    "methods.batch": ("Batch",),
    "methods.method": ("Check", "Fresh", "Method", "Move", "Pace", "Point", "Pooling", "Turn"),
    "methods.penalized": ("Penalized",),
    "methods.stages": ("Boundary", "Stage"),
    "store.frame": ("load_results",),
    "training.optimizers": ("Optimizer",),
    "trial": ("Trial",),
}
"""By the module that defines them, the public names: the imports above, for `__getattr__`."""


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    for module, names in _NAMES_OF.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names before they are imported, too."""
    return sorted({*globals(), *__all__})
