"""With which overrides the papers were run last, as the manifests in the stores say."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError, printable
from irm_sweeps.sweep.collect import SEEDS

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.sweep.paper import Paper


def overrides_of_run(paper: Paper, options: argparse.Namespace, results: Results) -> list[str]:
    """Return the overrides that a paper is shown with where none are typed, and print the remark on them."""
    overrides, remark = PaperRuns(options.stores).choose(paper, results)
    if remark:
        print(printable(remark), file=sys.stderr)
    return overrides


class PaperRuns:
    """The launches with `paper=` whose manifests lie in the stores."""

    def __init__(self, stores: Sequence[Path]) -> None:
        self._stores = stores
        self._files: dict[str, list[str]] = {}

    def choose(self, paper: Paper, results: Results) -> tuple[list[str], str]:
        """Return the overrides that a paper is shown with where none are typed, and a remark on them; often both empty.

        They are none where any trial of the paper as it stands in its file has a result, else those of the run that
        was launched last. Trials with other overrides are never put together.
        """
        overrides = next((words for names, words in self._launched if paper.name in names), [])
        if not overrides:
            return [], ""
        words = shlex.join(overrides)
        if all(word.partition("=")[0] in SEEDS for word in overrides):
            return overrides, f"{paper.name} is shown with {words}, as its latest run had it"
        try:
            paper.left_by(overrides)
        except UserError as error:
            return [], f"the latest run of {paper.name} is not shown: {error}"
        as_filed = self._trial_ids(paper, [], results)
        if not any(results.of(trial_id) for trial_id in as_filed):
            return overrides, f"no trial of {paper.name} as filed has a result: shown is its latest run, with {words}"
        if as_filed == self._trial_ids(paper, overrides, results):
            return [], ""
        return [], f"the latest run of {paper.name} is not shown: it had other overrides; to see it give {words}"

    def _trial_ids(self, paper: Paper, overrides: Sequence[str], results: Results) -> set[str]:
        from irm_sweeps.analysis.tables.builder import Builder

        return set(Builder(paper, self._stores, None, overrides, results).trial_ids())

    @cached_property
    def _launched(self) -> list[tuple[set[str], list[str]]]:
        """The paper files and the other overrides of each launch, the latest first."""
        return list(self._read())

    def _read(self) -> Iterator[tuple[set[str], list[str]]]:
        from irm_sweeps.store.archive import open_reader
        from irm_sweeps.store.manifest import load_manifest
        from irm_sweeps.store.sweeps import is_of_paper, sweep_names

        for store in map(open_reader, self._stores):
            for name in reversed(sweep_names(store)):
                if not is_of_paper(name):
                    continue
                try:
                    overrides = load_manifest(store, name).overrides
                    files = {file for word in overrides if word.startswith("paper=") for file in self._files_of(word)}
                except UserError:  # a damaged manifest, or a paper file that is no longer there
                    continue
                yield files, [word for word in overrides if not word.lstrip("+").startswith(("paper=", "paper."))]

    def _files_of(self, choice: str) -> list[str]:
        """Return the paper files that `paper=a,b` names, and those that these include."""
        from irm_sweeps.sweep.grid import each_choice
        from irm_sweeps.sweep.paper import load_paper

        if choice not in self._files:
            names = [name for _, name in each_choice(choice)]
            self._files[choice] = [file for name in names for file in (name, *load_paper(name).include)]
        return self._files[choice]
