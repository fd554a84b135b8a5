"""Small synthetic SST-2 and GloVe files in the published formats; each sentence is identifiable by its mean vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from irm_sweeps.draws import Draws

DIM = 8
OPINIONS = ("dull", "fine")
"""The word that determines the label, by label."""
NOUNS = tuple(f"film{i}" for i in range(40))
VOCABULARY = (*OPINIONS, *NOUNS, "very", ".", "!", ",")


def vectors(dim: int = DIM) -> dict[str, np.ndarray]:
    values = Draws(0).uniform("small_sst2/vectors", len(VOCABULARY), dim).round(4).astype(np.float32)
    return dict(zip(VOCABULARY, values, strict=True))


def sentences(n: int, split: str) -> list[tuple[str, int]]:
    """Return (sentence, label) pairs: 3 to 7 known words, some with an unknown word, some with a closing mark."""
    u = Draws(1).uniform(f"small_sst2/{split}", n, 5)
    made = []
    for label, noun, length, unknown, mark in u:
        y = int(label < 0.5)
        words = ["a", *["very"] * int(length * 5), OPINIONS[y], NOUNS[int(noun * len(NOUNS))]]
        words += ["unheard-of"] * int(unknown < 0.2) + [[".", "!", ",", "--"][int(mark * 4)]] * int(mark < 0.9)
        made.append((" ".join(words), y))
    return made


def write(folder: Path, train: int = 400, dev: int = 120, dim: int = DIM, **more: list[tuple[str, int]]) -> Path:
    """Write all files; `more_train` and `more_dev` are sentences added to these splits."""
    (folder / "SST-2").mkdir(parents=True, exist_ok=True)
    for split, n in (("train", train), ("dev", dev)):
        rows = [*sentences(n, split), *more.get(f"more_{split}", [])]
        text = "".join(f"{sentence} \t{label}\n" for sentence, label in rows)
        (folder / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + text)
    lines = [" ".join([word, *(f"{x:.4f}" for x in vector)]) for word, vector in vectors(dim).items()]
    (folder / f"glove.6B.{dim}d.txt").write_text("\n".join(["unused " + " ".join(["0.1"] * dim), *lines]) + "\n")
    return folder
