"""PunctuatedSST-2: draws agree with the config, from files in the published formats."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import small_sst2
from contracts import parameters
from drawn_data import binomial, sha256
from irm_sweeps.backbones.bag_of_words import BagOfWords
from irm_sweeps.compose import compose
from irm_sweeps.data.dataset import Environment, EvaluationSet
from irm_sweeps.data.glove import load_vectors
from irm_sweeps.data.punctuated_sst2 import PunctuatedSST2, without_closing_mark
from irm_sweeps.data.sst2 import load_sst2
from irm_sweeps.errors import UserError
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial
from small_sst2 import DIM, OPINIONS

REAL = Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "nowhere"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sst2.write(tmp_path_factory.mktemp("data"))


def punctuated(**changes: object) -> PunctuatedSST2:
    values = {
        "glove_dim": DIM,
        "p_e": (0.2, 0.1),
        "label_noise": 0.25,
        "test_p_e": (0.2, 0.1, 0.9),
        "test_on": "parts",
        "n_train": None,
        "n_val": 0,
        "grayscale": False,
        "data_seed": 1,
    }
    return PunctuatedSST2(**{**values, **changes})


def mean(text: str) -> np.ndarray:
    known = small_sst2.vectors()
    return np.mean([known[word] for word in text.split() if word in known], axis=0, dtype=np.float64)


class Reader:
    """Tells which sentence and which mark an input is, by looking its vector up."""

    def __init__(self, split: str, n: int, untouched: bool = False) -> None:
        self.texts = dict.fromkeys(small_sst2.sentences(n, split))
        ways = [""] if untouched else [" !", " ."]
        keys, self.meanings = [], []
        for text, label in self.texts:
            body = text if untouched else " ".join(without_closing_mark(text.split()))
            for mark, way in enumerate(ways):
                keys.append(mean(body + way))
                self.meanings.append((without_unknown(body), label, mark))
        self.keys = np.array(keys)

    def read(self, inputs: np.ndarray) -> list[tuple[str, int, int]]:
        assert inputs.dtype == np.float32
        distance = np.abs(inputs[:, None] - self.keys[None]).max(-1)
        assert (distance.min(1) < 1e-6).all(), "an input is the mean vector of no sentence"
        return [self.meanings[i] for i in distance.argmin(1)]


def without_unknown(text: str) -> str:
    return " ".join(word for word in text.split() if word in small_sst2.VOCABULARY)


# Words to vectors.


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("a fine film .", "a fine film"),
        ("a fine film", "a fine film"),
        ("a fine film . !", "a fine film ."),
        ("it 's `", "it 's"),
        ("so it goes ...", "so it goes ..."),
        ("the `` end ''", "the `` end ''"),
        ("half-hearted -", "half-hearted"),
        (".", ""),
        ("", ""),
    ],
)
def test_only_a_token_of_punctuation_is_dropped(sentence: str, kept: str) -> None:
    assert " ".join(without_closing_mark(sentence.split())) == kept


def test_every_input_is_a_punctuated_sentence(files: Path) -> None:
    """Without noise: the label is the sentence's own, and so is the mark where p_e is 0."""
    data = punctuated(p_e=(0, 1), label_noise=0, test_p_e=(1.0, 0.0)).draw(0, files)
    reader = Reader("train", 400)
    for e, moved in enumerate((0, 1)):
        for (text, label, mark), y in zip(reader.read(data.inputs[e]), data.labels[e], strict=True):
            assert y == label == int(OPINIONS[1] in text.split())
            assert mark == y ^ moved
    test = data.held_out["test"]
    dev = Reader("dev", 120)
    for name, moved in (("1", 1), ("0", 0)):
        environment = test.environments[name]
        for (_, label, mark), y in zip(dev.read(test.inputs[environment.index]), environment.labels, strict=True):
            assert y == label
            assert mark == y ^ moved


def test_grayscale_is_the_sentences_with_the_same_flips(files: Path) -> None:
    one, two = (punctuated(grayscale=g, n_val=20).draw(0, files) for g in (False, True))
    assert np.array_equal(one.labels, two.labels)
    own, untouched = Reader("train", 400).read(one.inputs[0]), Reader("train", 400, untouched=True)
    for (body, *_), (text, *_) in zip(own, untouched.read(two.inputs[0]), strict=True):
        assert " ".join(text.split()) in (body, *(f"{body} {mark}" for mark in ".!,"))
    for split in ("test", "val"):
        for name, environment in one.held_out[split].environments.items():
            assert np.array_equal(environment.labels, two.held_out[split].environments[name].labels)
    assert two.held_out["test"].inputs.shape == (120, DIM)
    assert one.held_out["test"].inputs.shape == (240, DIM)


def test_sentences_without_a_known_word_are_left_out(tmp_path: Path) -> None:
    """Their closing mark does not count; so both variants draw from the same sentences."""
    bare = punctuated().draw(0, small_sst2.write(tmp_path / "a"))
    strange = [("unheard-of", 1), ("unheard-of .", 0), (".", 1), ("", 0), ("never heard !", 1)]
    more = punctuated().draw(0, small_sst2.write(tmp_path / "b", more_train=strange, more_dev=strange))
    assert sha256(more) == sha256(bare)


# Environments.


def test_a_fair_draw_topped_up(files: Path) -> None:
    """Every sentence is in one environment; the smaller one's extra sentences are some of its own again."""
    data = punctuated(label_noise=0, p_e=(0, 0)).draw(0, files)
    reader = Reader("train", 400)
    seen = [Counter(text for text, *_ in reader.read(x)) for x in data.inputs]
    there = Counter(
        without_unknown(" ".join(without_closing_mark(s.split()))) for s, _ in small_sst2.sentences(400, "train")
    )
    extra = seen[0] + seen[1] - there
    n = data.labels.shape[1]
    assert extra.total() == 2 * n - 400 == (2 * n) % 400
    assert binomial(400 - n, 400, 0.5)
    assert not there - (seen[0] + seen[1]), "none is lost"


def test_extra_sentences_have_noise_of_their_own(tmp_path: Path) -> None:
    """As in the published code, which flips labels after it has topped up."""
    files, reader = small_sst2.write(tmp_path, train=60), Reader("train", 60)
    corpus = Counter(text for text, *_ in reader.meanings[::2])
    agree = []
    for seed in range(8):
        data = punctuated(data_seed=seed, label_noise=0.5).draw(0, files)
        for e in (0, 1):
            first: dict[str, int] = {}
            for (text, *_), y in zip(reader.read(data.inputs[e]), data.labels[e], strict=True):
                if corpus[text] == 1 and first.setdefault(text, y) != y:
                    agree.append(False)
                elif corpus[text] == 1 and text in first:
                    agree.append(True)
    assert 0 < agree.count(False) < len(agree)


def test_realised_probabilities(tmp_path: Path) -> None:
    files = small_sst2.write(tmp_path, train=1200, dev=900)
    data = punctuated(p_e=(0.2, 0.05), label_noise=0.3, n_train=500, n_val=40).draw(0, files)
    reader = Reader("train", 1200)
    for e, p in enumerate((0.2, 0.05)):
        read = reader.read(data.inputs[e])
        flipped = np.array([label for _, label, _ in read]) != data.labels[e]
        moved = np.array([mark for *_, mark in read]) != data.labels[e]
        assert binomial(flipped.sum(), 500, 0.3)
        assert binomial(moved.sum(), 500, p)
        assert binomial((flipped & moved).sum(), 500, 0.3 * p)
    test, dev = data.held_out["test"], Reader("dev", 900)
    for name, environment in test.environments.items():
        moved = np.array([mark for *_, mark in dev.read(test.inputs[environment.index])]) != environment.labels
        assert binomial(moved.sum(), len(moved), float(name))
        assert binomial(len(moved), 900, 1 / 3)


def test_parts_of_dev_are_disjoint_and_all_of_it(files: Path) -> None:
    data = punctuated().draw(0, files)
    test = data.held_out["test"]
    assert list(test.environments) == ["0.2", "0.1", "0.9"]
    assert not test.paired
    rows = np.concatenate([environment.index % 120 for environment in test.environments.values()])
    assert np.array_equal(np.sort(rows), np.arange(120))


def test_the_whole_of_dev_is_paired(files: Path) -> None:
    test = punctuated(test_on="whole", test_p_e=(0.1, 0.5, 0.9)).draw(0, files).held_out["test"]
    assert test.paired
    moved = []
    for environment in test.environments.values():
        assert np.array_equal(environment.index % 120, np.arange(120))
        assert np.array_equal(environment.labels, test.environments["0.1"].labels)
        moved.append(environment.index // 120 != environment.labels)
    assert (moved[0] <= moved[1]).all()
    assert (moved[1] <= moved[2]).all()


def test_held_back_sentences_are_not_trained_on(files: Path) -> None:
    data = punctuated(n_val=30).draw(0, files)
    reader = Reader("train", 400)
    val = data.held_out["val"]
    times = Counter(
        without_unknown(" ".join(without_closing_mark(s.split()))) for s, _ in small_sst2.sentences(400, "train")
    )
    for e, name in enumerate(("0.2", "0.1")):
        held = Counter(text for text, *_ in reader.read(val.inputs[val.environments[name].index]))
        assert held.total() == 30 == len(val.environments[name].labels)
        trained = {text for text, *_ in reader.read(data.inputs[e])}
        assert not {text for text in held if times[text] == 1} & trained
    fewer = punctuated(n_train=50, n_val=30).draw(0, files)
    assert fewer.labels.shape == (2, 50)


# Seeds.


def test_the_data_are_drawn_once_or_per_trial(files: Path) -> None:
    fixed, free = punctuated(), punctuated(data_seed=None)
    assert sha256(fixed.draw(3, files)) == sha256(fixed.draw(4, files)) == sha256(free.draw(1, files))
    assert sha256(free.draw(3, files)) != sha256(free.draw(4, files))


def trial(*overrides: str) -> Trial:
    own = ["dataset=punctuated_sst2", "backbone=bag_of_words", f"dataset.glove_dim={DIM}"]
    return Trial.from_config(compose([*own, "training.steps=40", "training.precision=float64", *overrides]))


@pytest.mark.parametrize(
    ("overrides", "stacks"),
    [
        ([], True),
        (["dataset.data_seed=null"], False),
        (["dataset.data_seed=null", "dataset.n_train=50"], False),
        (["dataset.data_seed=null", "dataset.n_train=50", "dataset.test_on=whole"], True),
    ],
)
def test_seeds_that_draw_other_numbers_of_sentences_do_not_stack(
    overrides: list[str], stacks: bool, files: Path
) -> None:
    trials = [trial("method=erm", f"seed={seed}", *overrides) for seed in (0, 1, 2)]
    assert (len({t.stack_key for t in trials}) == 1) == stacks
    if stacks:
        outcomes = StackTraining(trials, files, torch.device("cpu")).run()
        assert len({o.parameters_sha256 for o in outcomes}) == 3


def test_it_trains_and_follows_the_mark_or_the_words(files: Path) -> None:
    """With no noise in the marks ERM is wrong where they are turned round; without them it cannot be."""
    common = ["method=erm", "dataset.p_e=[0,0]", "training.steps=200", "optimizer.lr=0.01", "training.l2=0"]
    accuracy = []
    for grayscale in ("false", "true"):
        own = trial(*common, "dataset.test_p_e=[0,1]", "dataset.test_on=whole", f"dataset.grayscale={grayscale}")
        (outcome,) = StackTraining([own], files, torch.device("cpu")).run()
        scores = outcome.metrics["last"]["scores"]["test"]
        accuracy.append((scores["0"]["accuracy"], scores["1"]["accuracy"]))
    assert accuracy[0][0] > 0.9
    assert accuracy[0][1] < 0.35
    assert accuracy[1][0] == accuracy[1][1] > 0.55


def test_two_logits_with_a_multiplier_each_as_in_choe_et_al(files: Path) -> None:
    """IRMv1's penalty there: the squared norm of the gradient of cross-entropy by a vector of two ones."""
    own = trial("method=irmv1", "method.dummy=vector", "dataset.logits=2", "training.steps=1", "training.log_every=1")
    run = StackTraining([own], files, torch.device("cpu"))
    p, expected = parameters(run), []
    batch = run.data.batch(0, 0, 1)
    for x, y in zip(batch.inputs[0].chunk(2), batch.labels[0].chunk(2), strict=True):
        ones = torch.ones(1, 2, dtype=x.dtype, requires_grad=True)
        logits = run.model.classify(p, run.model.represent(p, x))
        assert logits.shape == (len(y), 2)
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits.detach() * ones, y.long()), [ones])
        expected.append(gradient.square().sum().item())
    (outcome,) = run.run()
    assert outcome.history[0]["penalty"] == pytest.approx(sum(expected) / 2)


@pytest.mark.parametrize(("width", "expected"), [(None, 5), (3, 3)])
def test_the_backbone_is_as_wide_as_the_vectors(width: int | None, expected: int) -> None:
    backbone = BagOfWords(depth=2, width=width, init="torch")
    representation, head = backbone.build((5,), 1, torch.Generator().manual_seed(0))
    assert representation(torch.zeros(4, 5)).shape == (4, expected)
    assert head.weight.shape == (1, expected)
    assert head.weight.abs().max() <= expected**-0.5


# Files.


def test_the_fingerprint_is_of_what_is_used(tmp_path: Path, files: Path) -> None:
    first = punctuated().fingerprint(files)
    assert set(first) == {"sst2", f"glove:{DIM}d"}
    other = small_sst2.write(tmp_path / "other", train=401)
    assert punctuated().fingerprint(other)["sst2"] != first["sst2"]
    assert punctuated().fingerprint(other)[f"glove:{DIM}d"] == first[f"glove:{DIM}d"]
    turned = small_sst2.write(tmp_path / "turned")
    rewritten(turned, GLOVE, "unused 0.1", "unused 0.7")
    assert punctuated().fingerprint(turned) == first, "a word that no sentence has"
    turned = small_sst2.write(tmp_path / "turned again")
    rewritten(turned, GLOVE, "\nvery 0", "\nvery 1")
    assert punctuated().fingerprint(turned)[f"glove:{DIM}d"] != first[f"glove:{DIM}d"]


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def rewritten(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


GLOVE = f"glove.6B.{DIM}d.txt"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: without(f, "SST-2/dev.tsv"), "no SST-2/dev.tsv in data_dir="),
        (
            lambda f: rewritten(f, "SST-2/train.tsv", "sentence\tlabel", "text\tlabel"),
            "names the columns sentence and label",
        ),
        (lambda f: rewritten(f, "SST-2/dev.tsv", "\t1\n", "\t2\n"), r"dev.tsv, line \d+: expected sentence and label"),
        (lambda f: rewritten(f, "SST-2/dev.tsv", "\t1\n", "\n"), r"dev.tsv, line \d+: expected sentence and label"),
        (lambda f: (f / "SST-2/train.tsv").write_text("sentence\tlabel\n"), "has no sentences"),
        (lambda f: (f / "SST-2/train.tsv").write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda f: without(f, GLOVE), rf"no {GLOVE} in data_dir=.*: put GloVe's {DIM}-dimensional vectors there"),
        (
            lambda f: rewritten(f, GLOVE, "\nvery 0", "\nvery x0"),
            rf"{GLOVE}, line \d+: expected a word and {DIM} numbers",
        ),
        (lambda f: rewritten(f, GLOVE, "\nvery 0", "\nvery 1 0"), rf"{GLOVE}, line \d+: expected a word"),
        (lambda f: rewritten(f, GLOVE, "\n! ", "\n!! "), "lacks the word '!', which is a spurious mark"),
    ],
)
def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, damage, words: str) -> None:
    small_sst2.write(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=words):
        punctuated().check(tmp_path)


def test_other_dimensions_that_are_there_are_named(tmp_path: Path) -> None:
    small_sst2.write(tmp_path, dim=50)
    with pytest.raises(UserError, match=r"or use dataset\.glove_dim=50: glove\.6B\.50d\.txt is there"):
        punctuated(glove_dim=300).check(tmp_path)


@pytest.mark.parametrize("changes", [{"n_train": 200, "n_val": 10}, {"n_val": 210}])
def test_more_sentences_than_there_are_is_refused(files: Path, changes: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"exceeds the \d+ sentences that fell to one of 2 training environments"):
        punctuated(**changes).draw(0, files)


@pytest.mark.parametrize("changes", [{"test_p_e": (0.5, 0.5)}, {"p_e": ()}, {"label_noise": 1.5}, {"test_on": "some"}])
def test_impossible_configs_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        punctuated(**changes)


def test_an_evaluation_set_says_whether_it_is_paired() -> None:
    assert not EvaluationSet(np.zeros((2, 1)), {"a": Environment(np.arange(2), np.zeros(2))}).paired


@pytest.mark.skipif(not (REAL / "SST-2" / "train.tsv").exists(), reason="IRM_SWEEPS_DATA_DIR has no SST-2")
def test_the_real_files() -> None:
    source = load_sst2(REAL)
    assert (len(source.train.labels), len(source.dev.labels)) == (67_349, 872)
    assert (source.train.labels.sum(), source.dev.labels.sum()) == (37_569, 444)
    dim = next((d for d in (300, 50, 100, 200) if (REAL / f"glove.6B.{d}d.txt").exists()), None)
    if dim is None:
        pytest.skip("no GloVe file")
    words = {word for tokens in source.dev.tokens for word in tokens}
    assert len(load_vectors(REAL, dim, words).rows) > 0.96 * len(words)
