"""A trial's result as `result.json` holds it: typed, checked, immutable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import one_line
from irm_sweeps.naming import names
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.store.later_fields import filled
from irm_sweeps.store.schema import Config, Count, Number, Part, Seconds, Status, TrialId
from irm_sweeps.training.merit import merit
from irm_sweeps.user_code.modules import foreign_targets


def _moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


class Scores(Part):
    """What was measured in one environment; None where the risk was not finite.

    Attributes
    ----------
    risk
        In nats; of a regression, the mean squared error.
    accuracy
        In [0, 1]; a regression has none.
    ece
        Expected calibration error, in [0, 1]: see `irm_sweeps.training.calibration`. Results of versions before it was
        measured, and regressions, have none.
    """

    __pydantic_extra__: dict[str, Number | None]
    risk: Number | None = None
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    ece: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def measures(self) -> dict[str, float | None]:
        """Every measure that was taken, by name: `risk`, `accuracy`, `pwcca`, ..."""
        return self.recorded()

    @property
    def merit(self) -> float:
        """What selection rules compare: see `irm_sweeps.training.merit`."""
        return merit(self.measures)


class Evaluation(Part):
    """The scores after `step` updates, by split and environment."""

    step: Count
    scores: dict[str, dict[str, Scores]]

    def environments(self) -> Iterator[tuple[str, str, Scores]]:
        """Yield every split, environment and scores."""
        for split, environments in self.scores.items():
            for name, scores in environments.items():
                yield split, name, scores

    def values(self, split: str, measure: str, environment: str | None = None) -> list[float | None]:
        """Return a measure in one environment of a split, or without a name in each of them.

        Raises
        ------
        KeyError
            There is no such split, environment or measure.
        """
        environments = self.scores[split]
        chosen = environments.values() if environment is None else [environments[environment]]
        return [scores.measures[measure] for scores in chosen]


class Timing(Part):
    """When training ended, and the wall time of the whole stack."""

    finished: Annotated[str, AfterValidator(_moment)] | None = None
    seconds: Seconds | None = None
    stack_size: Annotated[int, Field(ge=1)] | None = None


class Failure(Part):
    """Why a trial failed: `kind` is `exception`, or `crash` where its workers died."""

    kind: str = "exception"
    message: str = ""
    details: str = ""

    @property
    def last_line(self) -> str:
        """The last line of the message, by which failures are counted."""
        lines = self.message.strip().splitlines()
        return one_line(lines[-1]) if lines else "no message"


class GitState(Part):
    """The state of a checkout; `dirty`: it had changes that were not committed."""

    commit: str
    dirty: bool = False

    def short(self, dirty: str) -> str:
        """Return the beginning of the commit, and `dirty` after it where there were changes."""
        return self.commit[:12] + (dirty if self.dirty else "")


class Hardware(Part):
    """What a trial ran on. `irm_sweeps.provenance.hardware` writes it; these are its facts in that order."""

    device: str | None = None
    name: str | None = None
    instructions: Any = None
    driver: Any = None
    cuda: Any = None
    cudnn: Any = None
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None


class Provenance(Part):
    """Where a result comes from: code, versions, device, data, and the trials of its stack.

    Attributes
    ----------
    git, package_sha256
        The commit of this package, and the sha256 of its syntax trees.
    config_id
        The trial's id without the code of the user's own classes; None where all classes are this package's.
    code_sha256, own_code
        The sha256 of the syntax tree, which is part of the id, and of the file of each module of the user's code. In
        results of earlier versions no code is part of the id, and `code_sha256` is empty.
    own_git
        The commit of the user's own checkout.
    numerics
        The settings of torch under which it was trained: see `irm_sweeps.device.numeric_state`.
    """

    git: GitState | None = None
    package_sha256: str | None = None
    config_id: TrialId | None = None
    code_sha256: dict[str, str] = Field(default_factory=dict)
    own_code: dict[str, str] = Field(default_factory=dict)
    own_git: GitState | None = None
    software: dict[str, str] = Field(default_factory=dict)
    hardware: Hardware | None = None
    numerics: dict[str, Any] = Field(default_factory=dict)
    stack: list[TrialId] = Field(default_factory=list)
    compiled: bool = False
    parameters_sha256: str | None = None
    data_sha256: dict[str, str] = Field(default_factory=dict)


class Result(Part):
    """The result of one trial. Make one with `from_values`.

    Attributes
    ----------
    config
        The trial's whole config. That of earlier versions lacks the fields at their default; here it has them.
    metrics
        The chosen evaluation by selection rule; empty unless the trial completed.
    steps
        Updates made.
    history_rows
        Rows of the history beside it; None in results of earlier versions.
    diverged_at
        The update at which the objective was not finite.
    """

    schema_: Literal[1] = Field(alias="schema")
    trial_id: TrialId
    status: Status
    config: Annotated[Config, AfterValidator(filled)]
    metrics: dict[str, Evaluation]
    steps: Count | None = None
    history_rows: Count | None = None
    diverged_at: Count | None = None
    timing: Timing = Timing()
    provenance: Provenance = Provenance()
    error: Failure | None = None
    _raw: Mapping[str, Any] = PrivateAttr()

    @model_validator(mode="after")
    def _a_failure_has_an_error(self) -> Self:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError(f"status {self.status!r} and error {self.error is not None}")
        return self

    @classmethod
    def from_values(cls, values: Any) -> Self:
        """Return the result that a mapping holds, and keep the mapping; raises as that of `Part`."""
        result = super().from_values(values)
        result._raw = values
        return result

    @property
    def raw(self) -> Mapping[str, Any]:
        """The mapping exactly as it lies in the file."""
        return self._raw

    @property
    def label(self) -> str:
        """The trial's short readable name, e.g. `irmv1 lam=100 seed=3`."""
        return names.label(self.config)

    def scores(self, rule: str) -> dict[str, dict[str, Scores]]:
        """Return the scores under a selection rule, by split and environment; none where it has nothing to say."""
        return self.metrics[rule].scores if rule in self.metrics else {}

    @property
    def targets(self) -> dict[str, str]:
        """The `_target_` of dataset, backbone, method and optimizer, by group."""
        return {group: self.config[group]["_target_"] for group in COMPONENTS}

    @property
    def choices(self) -> dict[str, str]:
        """The names that choose dataset, backbone, method and optimizer, e.g. `irmv1`, by group."""
        return {group: choice_name(group, self.config[group]) for group in COMPONENTS}

    @property
    def foreign_targets(self) -> list[str]:
        """Those targets that are not this package's."""
        return foreign_targets(self.config)

    @property
    def stack_size(self) -> int:
        """How many trials were trained together; 1 where that was not recorded."""
        return self.timing.stack_size or 1

    @property
    def seconds(self) -> float | None:
        """The trial's share of its stack's wall time; None where that was not recorded."""
        return None if self.timing.seconds is None else self.timing.seconds / self.stack_size

    @property
    def hardware(self) -> Hardware:
        """What it ran on; without any facts where that was not recorded."""
        return self.provenance.hardware or Hardware()

    @property
    def divergence(self) -> str:
        """Where a diverged trial ended: `at step 120`."""
        return f"at step {'unknown' if self.diverged_at is None else self.diverged_at}"
