"""PunctuatedSST-2: sentences whose words are the invariant feature and whose closing mark is the spurious one."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy import sparse

from irm_sweeps.config import PerTrial
from irm_sweeps.data.dataset import (
    Array,
    Dataset,
    Environment,
    EvaluationSet,
    TrialData,
    by_split,
    check_named_once,
    distinct,
    named,
)
from irm_sweeps.data.glove import Vectors, load_vectors
from irm_sweeps.data.sst2 import Sentences, load_sst2
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError

Probability = Annotated[float, Field(ge=0, le=1)]

MARKS = ("!", ".")
"""The closing marks with id 0 and id 1 (bae2021 Appendix B)."""


class PunctuatedSST2(Dataset):
    """PunctuatedSST-2 (Choe et al. 2020; bae2021 Appendix B), as bags of words.

    Each sentence of SST-2's `train` is assigned to one training environment, all equally likely. The smaller
    environments are filled up to the size of the largest by sampling their sentences again. `dev` is divided into the
    test environments in the same way. Then each label is flipped with probability `label_noise`; the mark is the noisy
    label, flipped with probability `p_e`: `.` for 1, `!` for 0. The mark replaces the last token of the sentence if
    that is punctuation, else it is appended.

    An input is the mean of the GloVe vectors of the sentence's known words, mark included, so the mark has the weight
    1 / length. Choe et al. drop sentences without a known word when they look words up. Here sentences without a known
    word besides the closing punctuation are dropped first, so that all variants draw from the same sentences and
    training environments have equal sizes.

    The classifier of Choe et al. has two logits and cross-entropy (`logits=2`, and for IRMv1 `method.dummy=vector`).
    """

    glove_dim: Annotated[int, Field(ge=1)]
    """Dimension of the word vectors, read from glove.6B.<glove_dim>d.txt in `data_dir`."""
    p_e: Annotated[tuple[Probability, ...], PerTrial(), Field(min_length=1)]
    """Probability that the mark differs from the noisy label, per training environment."""
    label_noise: Annotated[float, PerTrial(), Field(ge=0, le=1)]
    """Probability that a label is flipped, in all environments."""
    test_p_e: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """`p_e` of the test environments; the last one is the shifted environment."""
    test_on: Literal["parts", "whole"]
    """`parts`: `dev` is divided among the test environments (Choe et al.). `whole`: every test environment has all of
    `dev`, the same sentences and labels with different marks."""
    n_train: Annotated[int, Field(ge=1)] | None
    """Number of sentences per training environment; null: all, filled up to the size of the largest environment."""
    n_val: Annotated[int, Field(ge=0)]
    """Number of sentences per training environment held back for validation, in addition to `n_train`."""
    grayscale: bool
    """True: sentences with their original punctuation and the same noisy labels: the oracle without spurious marks."""
    data_seed: Annotated[int, Field(ge=0)] | None
    """Seed of all draws of the data; null: the trial's seed. Choe et al. draw the data once, so that trials differ in
    their initial parameters only."""
    logits: Literal[1, 2] = 1
    """Number of logits of the classifier: 1 with binary cross-entropy, or 2 with cross-entropy."""

    @model_validator(mode="after")
    def _environments_have_names(self) -> PunctuatedSST2:
        check_named_once("test_p_e", self.test_p_e)
        return self

    @property
    def outputs(self) -> int:
        """One or two logits."""
        return self.logits

    @property
    def features(self) -> tuple[int, ...]:
        """Shape of a mean word vector."""
        return (self.glove_dim,)

    @property
    def shifted(self) -> str:
        """The last test environment."""
        return named(self.test_p_e)[-1]

    @property
    def stacks(self) -> bool:
        """Whether every seed draws the same numbers of sentences; random assignment without `n_train` does not."""
        return self.data_seed is not None or (self.n_train is not None and self.test_on == "whole")

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        return by_split(distinct(named(self.p_e)), named(self.test_p_e), self.n_val)

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of the sentences and labels, and of the vectors of their words."""
        corpus = _corpus(data_dir.expanduser().resolve(), self.glove_dim)
        return {"sst2": corpus.sst2, f"glove:{self.glove_dim}d": corpus.glove}

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Divide the sentences into environments, and draw their labels and marks.

        Raises
        ------
        UserError
            A file cannot be read, or there are too few sentences.
        """
        corpus = _corpus(data_dir.expanduser().resolve(), self.glove_dim)
        draws = Draws(seed if self.data_seed is None else self.data_seed)
        names = self.announced["train"]
        train, held_back = self._deal(len(corpus.train.labels), draws)
        inputs, labels = zip(
            *(self._environment(corpus, draws, f"train/{e}", train[e], p) for e, p in enumerate(self.p_e)), strict=True
        )
        held_out = {"test": self._test(corpus, draws)}
        if self.n_val:
            val = [self._environment(corpus, draws, f"val/{e}", held_back[e], p) for e, p in enumerate(self.p_e)]
            held_out["val"] = EvaluationSet(
                np.concatenate([x for x, _ in val]),
                {
                    name: Environment(np.arange(self.n_val) + e * self.n_val, y)
                    for e, (name, (_, y)) in enumerate(zip(names, val, strict=True))
                },
            )
        return TrialData(names, np.stack(inputs), np.stack(labels), held_out)

    def _deal(self, n: int, draws: Draws) -> tuple[list[Array], list[Array]]:
        """Return the rows of each training environment, all of one size, and the rows held back from each."""
        order = draws.permutation("pool", n)
        environment = _uniform_integers(draws, "environments", n, len(self.p_e))[order]
        dealt = [order[environment == e] for e in range(len(self.p_e))]
        smallest = min(len(rows) for rows in dealt)
        if smallest < (self.n_train or 1) + self.n_val:
            raise UserError(
                f"dataset.n_train={self.n_train} + dataset.n_val={self.n_val} exceeds the {smallest} sentences that "
                f"fell to one of {len(dealt)} training environments, of {n} in all"
            )
        if self.n_train is not None:
            end = self.n_train + self.n_val
            return [rows[: self.n_train] for rows in dealt], [rows[self.n_train : end] for rows in dealt]
        train = [rows[: len(rows) - self.n_val] for rows in dealt]
        largest = max(len(rows) for rows in train)
        repeated = [
            _uniform_integers(draws, f"train/{e}/again", largest - len(rows), len(rows)) for e, rows in enumerate(train)
        ]
        return (
            [np.concatenate([rows, rows[again]]) for rows, again in zip(train, repeated, strict=True)],
            [rows[len(rows) - self.n_val :] for rows in dealt],
        )

    def _noisy(self, labels: Array, draws: Draws, purpose: str) -> tuple[Array, Array]:
        """Return the noisy labels `[n]`, and the uniform draws `[n]` that flip the marks."""
        flipped = draws.uniform(f"{purpose}/label", len(labels)) < self.label_noise
        return labels ^ flipped, draws.uniform(f"{purpose}/mark", len(labels))

    def _environment(self, corpus: Corpus, draws: Draws, purpose: str, rows: Array, p_e: float) -> tuple[Array, Array]:
        """Return inputs `[n, dim]` and labels `[n]` of these sentences."""
        label, mark_draws = self._noisy(corpus.train.labels[rows], draws, purpose)
        return self._inputs(corpus, corpus.train, rows, label ^ (mark_draws < p_e)), label

    def _inputs(self, corpus: Corpus, bags: Bags, rows: Array, mark: Array) -> Array:
        """Return float32 `[n, dim]`: the sentences `rows` with these marks; unchanged if `grayscale`."""
        if self.grayscale:
            return bags.unchanged[rows]
        means: Array = (bags.body[rows] + corpus.marks[mark]) / (bags.counts[rows, None] + np.float32(1))
        return means

    def _test(self, corpus: Corpus, draws: Draws) -> EvaluationSet:
        """Return the test set: its inputs are the sentences of `dev` with either mark; an environment uses one each."""
        n = len(corpus.dev.labels)
        label, mark_draws = self._noisy(corpus.dev.labels, draws, "test")
        part = _uniform_integers(draws, "test/parts", n, len(self.test_p_e))
        environments = {}
        for e, p in enumerate(self.test_p_e):
            rows = np.arange(n) if self.test_on == "whole" else np.flatnonzero(part == e)
            if not len(rows):
                raise UserError(f"no sentence of the {n} in SST-2/dev.tsv fell to test environment {p:g}: too few")
            mark = label[rows] ^ (mark_draws[rows] < p)
            environments[f"{p:g}"] = Environment(rows if self.grayscale else rows + n * mark, label[rows])
        marks = (0,) if self.grayscale else (0, 1)
        inputs = [self._inputs(corpus, corpus.dev, np.arange(n), np.full(n, mark)) for mark in marks]
        return EvaluationSet(np.concatenate(inputs), environments, paired=self.test_on == "whole")


def _uniform_integers(draws: Draws, purpose: str, n: int, end: int) -> Array:
    """Return `[n]` uniform integers from 0 to end - 1."""
    integers: Array = (draws.uniform(purpose, n) * end).astype(np.int64)
    return integers


@dataclass(frozen=True)
class Bags:
    """The sentences of a split that have a known word, as sums and means of word vectors.

    Attributes
    ----------
    body
        `[n, dim]` sums over the known words, without a closing punctuation token.
    counts
        `[n]` numbers of these words, at least one.
    unchanged
        `[n, dim]` means over the known words of the original sentence.
    labels
        `[n]` 0 or 1, without noise.
    """

    body: npt.NDArray[np.float32]
    counts: npt.NDArray[np.float32]
    unchanged: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """SST-2 as bags of words; `marks` `[2, dim]` are the vectors of `MARKS`, `sst2` and `glove` the sources' sha256."""

    train: Bags
    dev: Bags
    marks: npt.NDArray[np.float32]
    sst2: str
    glove: str


@lru_cache(maxsize=1)
def _corpus(data_dir: Path, dim: int) -> Corpus:
    """Read both sources and look up every word; cached per process."""
    source = load_sst2(data_dir)
    words = {word for split in (source.train, source.dev) for tokens in split.tokens for word in tokens}
    vectors = load_vectors(data_dir, dim, words | set(MARKS))
    if missing := [mark for mark in MARKS if mark not in vectors.rows]:
        raise UserError(f"{data_dir / f'glove.6B.{dim}d.txt'} lacks the word {missing[0]!r}, which is a spurious mark")
    marks = vectors.matrix[[vectors.rows[mark] for mark in MARKS]]
    return Corpus(_bags(source.train, vectors), _bags(source.dev, vectors), marks, source.sha256, vectors.sha256)


def _bags(sentences: Sentences, vectors: Vectors) -> Bags:
    """Return the bags of a split, without sentences that have no known word besides the closing mark."""
    body, counts = _sums([without_closing_mark(tokens) for tokens in sentences.tokens], vectors)
    whole, whole_counts = _sums(sentences.tokens, vectors)
    kept = counts > 0
    return Bags(
        body[kept].astype(np.float32),
        counts[kept].astype(np.float32),
        (whole[kept] / whole_counts[kept, None]).astype(np.float32),
        sentences.labels[kept],
    )


def without_closing_mark(tokens: list[str]) -> list[str]:
    """Return the tokens without the last one if that is a substring of `string.punctuation`, the test of Choe et al."""
    return tokens[:-1] if tokens and tokens[-1] in string.punctuation else tokens


def _sums(sentences: list[list[str]], vectors: Vectors) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return, per sentence, the sum of its known words' vectors `[n, dim]` and their number `[n]`."""
    known = [[vectors.rows[word] for word in tokens if word in vectors.rows] for tokens in sentences]
    counts = np.array([len(rows) for rows in known], np.int64)
    columns = np.array([row for rows in known for row in rows], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    bags = sparse.csr_matrix((np.ones(len(columns)), columns, starts), shape=(len(known), len(vectors.matrix)))
    sums: npt.NDArray[np.float64] = bags @ vectors.matrix.astype(np.float64)
    return sums, counts
