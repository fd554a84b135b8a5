"""Train a stored trial a second time, under the circumstances that are on record.

Two runs give the same bits where everything on record is the same: code, versions, device, instructions, number of
threads (they share out a sum, and so decide in which order its terms are added), data, and the trials that were
trained together (a stack's products are batched, which again is another order), and whether its steps were compiled.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from irm_sweeps.commands.comparison import commit_of
from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import DamagedFile, UnreadableFile
from irm_sweeps.store.earlier_code import other_code
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import looking


def stored(store: Store, trial_id: str, *, trusted: bool = False) -> tuple[Result, Trial]:
    """Return a result that can be made again, and its trial; `trusted`: see `Trial.from_config`.

    Raises
    ------
    UserError
        It is missing, damaged or failed, or this version reads its config as another trial's.
    """
    try:
        result = store.result(trial_id)
    except UnreadableFile as error:
        raise UserError(error.told()) from None
    except DamagedFile as damage:
        raise UserError(f"damaged: {damage}; nothing to compare with") from None
    if result is None:
        raise UserError(f"trial {trial_id} has no result yet, so there is nothing to compare with")
    if result.status == "failed":
        show = looking("show", trial_id, results=store.root)
        raise UserError(f"trial {trial_id} failed: see {show}; rerun=failed runs it again")
    return result, _trial(result, trusted=trusted)


def _trial(result: Result, *, trusted: bool = False) -> Trial:
    if not trusted and (foreign := result.foreign_targets):
        raise UserError(
            f"trial {result.trial_id} needs {', '.join(foreign)}, which is not of irm_sweeps: if it is your own, or "
            "of somebody you trust, add --trust"
        )
    trial = Trial.from_config(result.config, trusted=trusted)
    if trial.id != result.trial_id and not other_code(result, trial):
        made_by = commit_of(result.provenance.git) or "unknown commit"
        raise UserError(
            f"this version reads the config of trial {result.trial_id} as trial {trial.id}: a default has changed "
            f"since; reproduce it with the version that made it ({made_by})"
        )
    return trial


def run_again(
    store: Store, result: Result, trial: Trial, data_dir: Path, device: str, *, trusted: bool = False
) -> Result:
    """Train a trial a second time, in a temporary store and under the recorded circumstances; return the new result.

    Its stack is formed again if all of it is in the store; the number of threads is the recorded one.

    Raises
    ------
    UserError
        There is no such device, or the data is missing.
    """
    import torch

    from irm_sweeps.device import choose_device, open_device, tame_allocator
    from irm_sweeps.worker.worker import Worker

    chosen = choose_device(device)
    open_device(chosen)
    try:
        trial.dataset.check(data_dir)
    except UserError as error:
        raise UserError(f"{error}; or say where it lies: --data-dir DIR") from None
    trial.backbone.check(trial.dataset.features, trial.dataset.outputs)
    if result.hardware.threads is not None:
        torch.set_num_threads(result.hardware.threads)
    tame_allocator()
    stack = {member.id: member.canonical for member in _stack(store, result, trial, trusted)}
    with tempfile.TemporaryDirectory(prefix="irm-sweeps-") as folder:
        fresh = Store(Path(folder) / "results")
        fresh.prepare()
        settings = RunSettings(
            data_dir=str(data_dir),
            device=str(chosen),
            compile=result.provenance.compiled,
            on_error="continue",
            checkpoint_seconds=1e9,
        )
        manifest = write_manifest(fresh, "reproduce", stack, [list(stack)], settings)
        Worker(fresh, manifest, chosen, capture=False).work()
        again = fresh.result(trial.id)
    assert again is not None, "a worker writes a result for whatever it trains"
    return again


def _stack(store: Store, result: Result, trial: Trial, trusted: bool) -> list[Trial]:
    """Return the trials that were trained together with this one; it alone if another one is missing here."""
    members = []
    for trial_id in result.provenance.stack or [trial.id]:
        if trial_id == result.trial_id:
            members.append(trial)
            continue
        try:
            member = store.result(trial_id)
            if member is None:
                return [trial]
            members.append(_trial(member, trusted=trusted))
        except (DamagedFile, UserError):
            return [trial]
    return members
