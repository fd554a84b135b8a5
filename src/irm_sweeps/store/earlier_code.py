"""Results of the same config by other code: what a store holds of a trial from before the user edited a class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import one_line
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.reader import LARGEST_RESULT, Reader
from irm_sweeps.store.result import Result
from irm_sweeps.trial import Trial
from irm_sweeps.user_code.of_classes import code_of

_CONFIG_ID = re.compile(rb'"config_id"\s*:\s*"([0-9a-f]{16})"')


def other_code(result: Result, trial: Trial) -> list[str]:
    """Return the classes of a trial whose code is not the one that made a result of its config.

    None of them where the result's config is another one, or its code the same. Of a result of an earlier version of
    this package, which does not tell its code, these are all classes that are the user's.
    """
    recorded = result.provenance.code_sha256
    if result.trial_id == trial.id or result.trial_id != trial.id_with(recorded):
        return []
    own = [component for group in COMPONENTS if code_of([type(component := getattr(trial, group))])]
    changed = [component.target for component in own if not _is_as_recorded(type(component), recorded)]
    return changed or [component.target for component in own]


def _is_as_recorded(chosen: type, recorded: Mapping[str, str]) -> bool:
    return all(recorded.get(name) == digest for name, digest in code_of([chosen]).items())


class EarlierCode:
    """The results in stores of trials of the user's own classes, by config; each store is looked through once."""

    def __init__(self, stores: Sequence[Reader]) -> None:
        self._stores = stores

    def of(self, trials: Iterable[Trial]) -> dict[str, list[str]]:
        """Return the changed classes of each trial, by id, of whose config there is a result by other code.

        Failed results do not count.
        """
        found = {trial.id: sorted(self._changed_classes(trial)) for trial in trials if trial.code}
        return {trial_id: changed for trial_id, changed in found.items() if changed}

    def _changed_classes(self, trial: Trial) -> set[str]:
        changed: set[str] = set()
        for store in self._stores:
            for trial_id in [trial.config_id, *self._ids_by_config.get(trial.config_id, ())]:
                result = _readable(store, trial_id)
                if result is not None and result.status != "failed":
                    changed.update(other_code(result, trial))
        return changed

    @cached_property
    def _ids_by_config(self) -> dict[str, list[str]]:
        """The ids of the results whose record has the id of their config."""
        ids: dict[str, list[str]] = {}
        for store in self._stores:
            for trial_id in store.trial_ids():
                for config_id in _CONFIG_ID.findall(_bytes(store, trial_id)):
                    ids.setdefault(config_id.decode(), []).append(trial_id)
        return ids


def _bytes(store: Reader, trial_id: str) -> bytes:
    """Return a result file, which is not parsed: of most results one pattern says that they are not looked for."""
    try:
        return store.content(trial_id, RESULT, LARGEST_RESULT) or b""
    except DamagedFile:  # whoever asks for the result is told
        return b""


def _readable(store: Reader, trial_id: str) -> Result | None:
    try:
        return store.result(trial_id)
    except DamagedFile:  # whoever asks for the result is told
        return None


def told(found: Mapping[str, Sequence[str]]) -> str:
    """Return e.g. `12 done by an earlier version of risk_gap.RiskGap`; an empty string where there are none."""
    if not found:
        return ""
    classes = sorted({target for targets in found.values() for target in targets})
    return f"{len(found)} done by an earlier version of {one_line(', '.join(classes))}"
