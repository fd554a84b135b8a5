"""`irm-sweeps init`: a user's own project, on the installed package."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

from irm_sweeps.commands.arguments import Commands, add_command
from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import is_folder, is_there, names_in

_NEXT = """\
{folder} is ready: a method, a data set, a table of both, and their tests. Next:
  cd {quoted}
  irm-sweeps launch -m paper=mine    # 9 trainings, under a minute
  irm-sweeps table --paper mine
  python -m pytest                   # needs pip install 'irm-sweeps[test]'
README.md says what lies where."""


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = "Start a project of your own: a folder with a method, a data set, a table and their tests."
    parser = add_command(commands, "init", about)
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or not there yet")


def run(options: argparse.Namespace) -> None:
    """Write the project and print what to do next."""
    print(create(options.folder))


def create(folder: Path) -> str:
    """Write the project into a folder; return what to do next, as text.

    Raises
    ------
    UserError
        There is something in the folder already, or it cannot be written.
    """
    if is_there(folder) and (not is_folder(folder) or names_in(folder)):
        what = "not empty" if is_folder(folder) else "a file"
        raise UserError(f"{folder} is {what}: give a folder that is new or empty")
    template = Path(__file__).parents[1] / "project" / "template"
    try:
        shutil.copytree(
            template,
            folder,
            dirs_exist_ok=True,
            copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        (folder / "gitignore").rename(folder / ".gitignore")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return _NEXT.format(folder=folder, quoted=shlex.quote(str(folder)))
