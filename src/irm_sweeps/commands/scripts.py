"""`irm-sweeps launch`, `table`, `figure`, `report`: also scripts of a checkout, each of which reads its own options."""

from __future__ import annotations

from types import ModuleType

from irm_sweeps.commands import completers
from irm_sweeps.commands.arguments import Commands, add_command
from irm_sweeps.typed_commands import offers

_ABOUT = {
    "table": "Print the table of a sweep, or a paper's: measured, published, verdict.",
    "figure": "Draw a paper's figure, or a general picture of a sweep.",
    "report": "Write one HTML page with everything that a store says.",
}


def add_parsers(commands: Commands, *, completing: bool) -> None:
    """Declare the commands for the list of all; to complete one, with the options that it will read."""
    _add_launch(commands)
    for name, about in _ABOUT.items():
        if completing:
            parents = [script_module(name).parser()]
            commands.add_parser(name, help=about, description=about, parents=parents, add_help=False)
        else:
            add_command(commands, name, about)


def _add_launch(commands: Commands) -> None:
    """Declare launch's main options; Hydra reads all of them."""
    about = "Run a trial, or with -m a sweep: irm-sweeps launch -m method=irmv1,vrex lam=1,100"
    parser = add_command(commands, "launch", about)
    offers(parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE"), completers.overrides)
    parser.add_argument("-m", "--multirun", action="store_true", help="a sweep")
    parser.add_argument("--cfg", choices=["job", "hydra", "all"], help="print the config and run nothing")


def script_module(name: str) -> ModuleType:
    """Import the module of `table`, `figure` or `report`, which has `parser()` and `main(words)`."""
    from irm_sweeps.analysis import figure_command, table_command
    from irm_sweeps.analysis import report_command as report

    return {"table": table_command, "figure": figure_command, "report": report}[name]
