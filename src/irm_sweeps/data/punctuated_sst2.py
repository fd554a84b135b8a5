"""PunctuatedSST-2: the words cause the label, the closing mark follows it more closely, but not everywhere."""

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
from irm_sweeps.data.dataset import Array, Dataset, Environment, EvaluationSet, TrialData, by_split, distinct
from irm_sweeps.data.glove import Vectors, load_vectors
from irm_sweeps.data.sst2 import Sentences, load_sst2
from irm_sweeps.draws import Draws
from irm_sweeps.errors import UserError

Probability = Annotated[float, Field(ge=0, le=1)]

MARKS = ("!", ".")
"""The closing mark of id 0 and of id 1 (bae2021 Appendix B)."""


class PunctuatedSST2(Dataset):
    """PunctuatedSST-2 (Choe et al. 2020; bae2021 Appendix B), as bags of words.

    Each sentence of SST-2's `train` belongs to one training environment by a fair draw; the smaller
    environments are topped up to the largest by sampling their own sentences again. `dev` is split into the test
    environments by another fair draw. Then each label is flipped with probability `label_noise`, and the mark is
    the noisy label, flipped with probability `p_e`: `.` for 1, `!` for 0. The last token of a sentence is dropped
    if it is punctuation, and the mark takes its place.

    An input is the mean of the GloVe vectors of the sentence's known words, of which the mark is one: so it
    enters as 1 / length. Choe et al. drop sentences without a known word while they look words up; here a
    sentence that has none besides its closing punctuation is dropped first, so that all environments of all
    variants draw from the same sentences, and training environments stay equally large.

    Choe et al. give the classifier two logits and cross-entropy (`logits=2`, and IRMv1 `method.dummy=vector`).
    """

    glove_dim: Annotated[int, Field(ge=1)]
    """Dimension of the word vectors: glove.6B.<glove_dim>d.txt in `data_dir`."""
    p_e: Annotated[tuple[Probability, ...], PerTrial(), Field(min_length=1)]
    """Probability that the mark is not the label's own, per training environment."""
    label_noise: Annotated[float, PerTrial(), Field(ge=0, le=1)]
    """Probability that a label is not the sentence's own, in all environments."""
    test_p_e: Annotated[tuple[Probability, ...], Field(min_length=1)]
    """Mark probabilities of the test environments; the last one is the shifted environment."""
    test_on: Literal["parts", "whole"]
    """`parts`: each test environment has a part of `dev` of its own (Choe et al.). `whole`: every test environment
    has all of `dev`, the same sentences and labels with other marks."""
    n_train: Annotated[int, Field(ge=1)] | None
    """Sentences per training environment; null: all, topped up to the largest environment."""
    n_val: Annotated[int, Field(ge=0)]
    """Sentences per training environment held back for validation, on top of `n_train`."""
    grayscale: bool
    """True: the sentences as they are, with the same noisy labels: the oracle without a spurious mark."""
    data_seed: Annotated[int, Field(ge=0)] | None
    """Seed of everything drawn here; null: the trial's. Choe et al. draw the data once, so that trials differ in
    their initial parameters only."""
    logits: Literal[1, 2] = 1
    """Of the classifier: one with binary cross-entropy, or two with cross-entropy."""

    @model_validator(mode="after")
    def _environments_have_names(self) -> PunctuatedSST2:
        if len({f"{p:g}" for p in self.test_p_e}) != len(self.test_p_e):
            raise ValueError(f"test_p_e={list(self.test_p_e)} names an environment twice")
        return self

    @property
    def outputs(self) -> int:
        """One or two logits."""
        return self.logits

    @property
    def features(self) -> tuple[int, ...]:
        """A mean word vector."""
        return (self.glove_dim,)

    @property
    def shifted(self) -> str:
        """The last test environment."""
        return f"{self.test_p_e[-1]:g}"

    @property
    def stacks(self) -> bool:
        """Whether every seed draws equally many sentences: a fair draw does not."""
        return self.data_seed is not None or (self.n_train is not None and self.test_on == "whole")

    @property
    def announced(self) -> Mapping[str, Sequence[str]]:
        """The environments' names."""
        return by_split(distinct([f"{p:g}" for p in self.p_e]), [f"{p:g}" for p in self.test_p_e], self.n_val)

    def fingerprint(self, data_dir: Path) -> dict[str, str]:
        """Return the sha256 of the sentences and labels, and of the vectors of their words."""
        corpus = _corpus(data_dir.expanduser().resolve(), self.glove_dim)
        return {"sst2": corpus.sst2, f"glove:{self.glove_dim}d": corpus.glove}

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        """Split, relabel and punctuate the sentences.

        Raises
        ------
        UserError
            A file cannot be read, or there are fewer sentences than are asked for.
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
        """Return the sentences of each training environment, equally many, and those held back."""
        order = draws.permutation("pool", n)
        environment = _fair(draws, "environments", n, len(self.p_e))[order]
        dealt = [order[environment == e] for e in range(len(self.p_e))]
        least = min(len(own) for own in dealt)
        if least < (self.n_train or 1) + self.n_val:
            raise UserError(
                f"dataset.n_train={self.n_train} + dataset.n_val={self.n_val} exceeds the {least} sentences that fell "
                f"to one of {len(dealt)} training environments, of {n} in all"
            )
        if self.n_train is not None:
            end = self.n_train + self.n_val
            return [own[: self.n_train] for own in dealt], [own[self.n_train : end] for own in dealt]
        kept = [own[: len(own) - self.n_val] for own in dealt]
        most = max(len(own) for own in kept)
        again = [_fair(draws, f"train/{e}/again", most - len(own), len(own)) for e, own in enumerate(kept)]
        return (
            [np.concatenate([own, own[more]]) for own, more in zip(kept, again, strict=True)],
            [own[len(own) - self.n_val :] for own in dealt],
        )

    def _noisy(self, labels: Array, draws: Draws, purpose: str) -> tuple[Array, Array]:
        """Return noisy labels `[n]`, and the uniform draws that decide about the marks."""
        flipped = draws.uniform(f"{purpose}/label", len(labels)) < self.label_noise
        return labels ^ flipped, draws.uniform(f"{purpose}/mark", len(labels))

    def _environment(self, corpus: Corpus, draws: Draws, purpose: str, rows: Array, p_e: float) -> tuple[Array, Array]:
        """Return inputs `[n, dim]` and labels `[n]` of these sentences."""
        label, moved = self._noisy(corpus.train.labels[rows], draws, purpose)
        return self._read(corpus, corpus.train, rows, label ^ (moved < p_e)), label

    def _read(self, corpus: Corpus, bags: Bags, rows: Array, mark: Array) -> Array:
        """Return float32 `[n, dim]`: the sentences of these rows closed by these marks, or untouched."""
        if self.grayscale:
            return bags.untouched[rows]
        marked: Array = (bags.body[rows] + corpus.marks[mark]) / (bags.known[rows, None] + np.float32(1))
        return marked

    def _test(self, corpus: Corpus, draws: Draws) -> EvaluationSet:
        """Return every sentence of `dev` with either mark; an environment picks one of them."""
        n = len(corpus.dev.labels)
        label, moved = self._noisy(corpus.dev.labels, draws, "test")
        part = _fair(draws, "test/parts", n, len(self.test_p_e))
        environments = {}
        for e, p in enumerate(self.test_p_e):
            rows = np.arange(n) if self.test_on == "whole" else np.flatnonzero(part == e)
            if not len(rows):
                raise UserError(f"no sentence of the {n} in SST-2/dev.tsv fell to test environment {p:g}: too few")
            mark = label[rows] ^ (moved[rows] < p)
            environments[f"{p:g}"] = Environment(rows if self.grayscale else rows + n * mark, label[rows])
        marks = (0,) if self.grayscale else (0, 1)
        inputs = [self._read(corpus, corpus.dev, np.arange(n), np.full(n, mark)) for mark in marks]
        return EvaluationSet(np.concatenate(inputs), environments, paired=self.test_on == "whole")


def _fair(draws: Draws, purpose: str, n: int, sides: int) -> Array:
    """Return `[n]` numbers of 0...sides-1, each as likely as the other."""
    drawn: Array = (draws.uniform(purpose, n) * sides).astype(np.int64)
    return drawn


@dataclass(frozen=True)
class Bags:
    """Sentences with a known word, as sums and means of word vectors.

    Attributes
    ----------
    body
        `[n, dim]` sums over the known words without a closing punctuation token.
    known
        `[n]` how many these are, at least one.
    untouched
        `[n, dim]` means over the known words of the whole sentence.
    labels
        `[n]`.
    """

    body: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]
    untouched: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """SST-2 as bags of words; `marks` are the vectors of `MARKS`, `sst2` and `glove` the sources' sha256."""

    train: Bags
    dev: Bags
    marks: npt.NDArray[np.float32]
    sst2: str
    glove: str


@lru_cache(maxsize=1)
def _corpus(data_dir: Path, dim: int) -> Corpus:
    """Read both sources and look every word up, once in a process."""
    source = load_sst2(data_dir)
    words = {word for split in (source.train, source.dev) for tokens in split.tokens for word in tokens}
    vectors = load_vectors(data_dir, dim, words | set(MARKS))
    if lacking := [mark for mark in MARKS if mark not in vectors.rows]:
        raise UserError(f"{data_dir / f'glove.6B.{dim}d.txt'} lacks the word {lacking[0]!r}, which is a spurious mark")
    marks = vectors.matrix[[vectors.rows[mark] for mark in MARKS]]
    return Corpus(_bags(source.train, vectors), _bags(source.dev, vectors), marks, source.sha256, vectors.sha256)


def _bags(sentences: Sentences, vectors: Vectors) -> Bags:
    body, known = _sums([without_closing_mark(tokens) for tokens in sentences.tokens], vectors)
    whole, all_known = _sums(sentences.tokens, vectors)
    kept = known > 0
    return Bags(
        body[kept].astype(np.float32),
        known[kept].astype(np.float32),
        (whole[kept] / all_known[kept, None]).astype(np.float32),
        sentences.labels[kept],
    )


def without_closing_mark(tokens: list[str]) -> list[str]:
    """Return the tokens without the last one if that is a run of `string.punctuation`, as Choe et al. test it."""
    return tokens[:-1] if tokens and tokens[-1] in string.punctuation else tokens


def _sums(sentences: list[list[str]], vectors: Vectors) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return, per sentence, the sum of its known words' vectors `[n, dim]` and how many there are `[n]`."""
    known = [[vectors.rows[word] for word in tokens if word in vectors.rows] for tokens in sentences]
    counts = np.array([len(own) for own in known], np.int64)
    columns = np.array([row for own in known for row in own], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    bags = sparse.csr_matrix((np.ones(len(columns)), columns, starts), shape=(len(known), len(vectors.matrix)))
    sums: npt.NDArray[np.float64] = bags @ vectors.matrix.astype(np.float64)
    return sums, counts
