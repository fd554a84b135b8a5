"""`irm-sweeps pack` and `unpack`, and the commands that read an archive, in processes of their own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from commands import ROOT, SMALL, Answer, eventually, irm_sweeps, launch
from irm_sweeps import load_results
from irm_sweeps.store.archive import Archive
from irm_sweeps.store.store import Store
from trial_archives import files_of

SWEEP = [*SMALL, "method=erm,irmv1", "seed=0,1", "training.evaluate_every=10"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the results of a sweep of four trials."""
    results = tmp_path_factory.mktemp("made") / "results"
    assert launch("-m", f"results={results}", *SWEEP).code == 0
    return results


@pytest.fixture(scope="module")
def archive(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "four.zip"
    assert command("pack", "-o", path, "--results", made).code == 0
    return path


def command(*words: object, program: Sequence[str] = ("-m", "irm_sweeps")) -> Answer:
    """Run a command of the project in a process of its own, in the repository's root."""
    done = subprocess.run(
        [sys.executable, *program, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def here(*words: object) -> Answer:
    """Run `irm-sweeps ...` in this process."""
    return irm_sweeps(*map(str, words))


def test_an_archive_has_results_histories_and_their_sha256(made: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        packed = {name: file.read(name) for name in file.namelist()}
        beside = [file.comment, *(entry.comment + entry.extra for entry in file.infolist())]
    text = b"\n".join([*map(str.encode, packed), *packed.values(), *beside])
    listed = json.loads(packed.pop("contents.json"))["files"]
    assert packed == files_of(made)
    assert len(packed) == 8
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()}
    assert not any(str(folder).encode() in text + archive.read_bytes() for folder in (made, ROOT))
    assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b".encode(), text)  # two letters are chance in a stream


def test_the_same_results_give_the_same_bytes(made: Path, archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for folder in sorted((path.parent for path in made.glob("*/result.json")), reverse=True):
        shutil.copytree(folder, other / folder.name)
        os.utime(other / folder.name / "result.json", (1, 1))
        (other / folder.name / "result.json").chmod(0o600)
    assert command("pack", "-o", tmp_path / "again.zip", "--results", other).code == 0
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def test_selections(made: Path, tmp_path: Path) -> None:
    def packed(*words: str) -> int:
        assert (answer := here("pack", *words, "-o", tmp_path / "some.zip", "--results", made)).code == 0, answer
        return len(Archive(tmp_path / "some.zip").trial_ids())

    (sweep,) = os.listdir(made / "sweeps")
    assert packed("--sweep", sweep[:-4]) == 4
    assert packed(*SWEEP, "method=irmv1") == 2
    assert here("pack", "--paper", "demo", "-o", tmp_path / "no.zip", "--results", made).complaint.endswith(
        f"nothing to pack: no result in {made}"
    )
    assert not (tmp_path / "no.zip").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-o", "a.tar"], "give a file that ends in .zip"),
        (["--table", "1", "-o", "a.zip"], "--table 1: of which paper? add --paper NAME"),
        (["--sweep", "a", "--paper", "demo", "-o", "a.zip"], "not allowed with argument --sweep"),
        (["--sweep", "a", "lam=1", "-o", "a.zip"], "lam=1: a sweep is packed whole"),
        (["--sweep", "nothing", "-o", "a.zip"], "sweep 'nothing': no such sweep"),
        (["--paper", "bae2012", "-o", "a.zip"], "no conf/paper/bae2012.yaml"),
        (["demo", "-o", "a.zip"], "'demo' is no override"),
        ([], "the following arguments are required: -o/--output"),
    ],
)
def test_mistakes_in_a_selection(made: Path, words: list[str], complaint: str) -> None:
    assert complaint in irm_sweeps("pack", *words, "--results", str(made)).complaint


@pytest.mark.parametrize("words", [["table"], ["figure", "--curves", "lam"]])
def test_a_sweep_is_not_looked_for_in_an_archive(archive: Path, words: list[str]) -> None:
    complaint = irm_sweeps(*words, "--sweep", "sweep-1", "--results", str(archive)).complaint
    assert f"{archive} is an archive, which has no sweeps: give the overrides" in complaint


def test_without_a_selection_a_table_has_all_results_of_an_archive(archive: Path) -> None:
    answer = irm_sweeps("table", "--results", str(archive))
    assert answer.code == 0, answer
    assert sum(line.startswith(("erm ", "irmv1 ")) for line in answer.out.splitlines()) == 2


def test_a_damaged_result_is_left_out_and_named(made: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(made, tmp_path / "results"))
    victim = sorted(store.glob("*/history.jsonl"))[0]
    victim.write_text("[]\n")
    answer = here("pack", "-o", tmp_path / "a.zip", "--results", store)
    assert answer.code == 1
    assert f"left out: {victim}, line 1" in answer.err
    assert len(Archive(tmp_path / "a.zip").trial_ids()) == 3


def test_unpacked_trials_count_as_done_and_say_where_they_come_from(archive: Path, made: Path, tmp_path: Path) -> None:
    store = tmp_path / "results"
    assert here("unpack", archive, "--results", store).out == f"{store}: 4 results added from four.zip\n"
    assert files_of(store) == files_of(made)
    assert "0 results added from four.zip, 4 there already" in here("unpack", archive, "--results", store).out
    again = launch("-m", f"results={store}", *SWEEP)
    assert again.code == 0
    assert "log.txt" not in {path.name for path in store.glob("*/*")}, "nothing was trained"
    trial_id = Store(store).trial_ids()[0]
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert (
        f"unpacked from four.zip (sha256 {sha256[:12]}), not trained here"
        in here("show", trial_id, "--results", store).out
    )
    assert "unpacked" not in here("show", trial_id, "--results", made).out


def test_what_the_store_has_is_kept(archive: Path, made: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(made, tmp_path / "results"))
    first, second, third, _ = sorted(store.glob("*/result.json"))
    first.write_text(first.read_text().replace('"seconds": ', '"seconds": 1'))
    second.with_name("history.jsonl").unlink()
    third.unlink()
    before = files_of(store)
    answer = here("unpack", archive, "--results", store)
    assert answer.code == 1
    assert answer.out == f"{store}: 1 result added from four.zip, 1 there already, 2 kept as they are in the store\n"
    assert answer.err.splitlines() == [
        f"kept: {path.parent} has another result than the archive, with the same numbers, of another training"
        for path in (first, second)
    ]
    assert files_of(store).items() >= before.items()
    assert third.read_bytes() == files_of(made)[f"{third.parent.name}/result.json"]


def test_other_numbers_are_told_from_another_training(archive: Path, made: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(made, tmp_path / "results"))
    first = min(store.glob("*/result.json"))
    result = json.loads(first.read_text())
    result["metrics"]["last"]["scores"]["test"]["0.9"]["risk"] += 0.25
    first.write_text(json.dumps(result))
    answer = here("unpack", archive, "--results", store)
    assert answer.code == 1
    kept = f"kept: {first.parent} has another result than the archive, with other numbers, "
    assert answer.err == f"{kept}risk by up to 0.25\n"


def test_a_damaged_result_of_the_store_is_moved_aside(archive: Path, made: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(made, tmp_path / "results"))
    first = min(store.glob("*/result.json"))
    whole, cut = first.read_bytes(), first.read_bytes()[:300]
    first.write_bytes(cut)
    answer = here("unpack", archive, "--results", store)
    assert answer.code == 0, answer
    assert answer.out == f"{store}: 1 result added from four.zip, 3 there already\n"
    assert f"damaged: {first} " in answer.err
    assert (first.read_bytes(), first.with_name("result.damaged.1.json").read_bytes()) == (whole, cut)


def test_an_origin_is_of_its_result_only(archive: Path, tmp_path: Path) -> None:
    here("unpack", archive, "--results", tmp_path / "results")
    store = Store(tmp_path / "results")
    trial_id = store.trial_ids()[0]
    assert store.origin(trial_id)
    path = store.folder(trial_id) / "result.json"
    path.write_text(path.read_text() + "\n")
    assert store.origin(trial_id) is None


KILLED_AT = """
import os, signal, sys
from irm_sweeps import cli
from irm_sweeps.store import store
written, write = 0, store.write_atomically
def counted(path, content):
    global written
    if written == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    written += 1
    write(path, content)
store.write_atomically = counted
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("files", [0, 1, 2, 3, 5])
def test_the_same_command_completes_what_a_kill_cut_short(
    archive: Path, made: Path, tmp_path: Path, files: int
) -> None:
    """Killed before the first, second, ... file besides the results: origin and history alternate."""
    words = ("unpack", archive, "--results", tmp_path / "results")
    killed = command(files, *words, program=("-c", KILLED_AT))
    assert killed.code == -signal.SIGKILL
    there = len(list((tmp_path / "results").glob("*/result.json")))
    assert there == files // 2
    answer = here(*words)
    assert answer.code == 0
    assert f"{4 - there} results added" in answer.out
    assert files_of(tmp_path / "results") == files_of(made)
    store = Store(tmp_path / "results")
    assert all(store.origin(trial_id) for trial_id in store.trial_ids())


def test_two_unpack_at_once(archive: Path, made: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "irm_sweeps", "unpack", str(archive), "--results", str(tmp_path / "results")]
    both = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(2)]
    eventually(lambda: all(process.poll() is not None for process in both), "both end")
    assert [process.returncode for process in both] == [0, 0]
    assert files_of(tmp_path / "results") == files_of(made)


def test_an_archive_is_read_like_a_store(archive: Path, made: Path, tmp_path: Path) -> None:
    trial_id = Store(made).trial_ids()[0]
    assert here("status", "--results", archive).out == ("four.zip: 4/4 done (4 completed), 0 running, 0 to do\n")
    assert json.loads(here("status", "--json", "--results", archive).out)["completed"] == 4
    shown = [here("show", trial_id, "--results", where).out.splitlines()[1:] for where in (archive, made)]
    assert shown[0] == shown[1]
    figure = ("analysis/figures.py",)
    words = ("--curves", "training", *SWEEP, "--results", archive, "--output", tmp_path / "training.svg")
    assert (answer := command(*words, program=figure)).code == 0, answer
    assert "no result yet" not in answer.err
    words = ("--results", archive, "--output", tmp_path / "r.html", "paper.only=[grayscale]")
    report = command(*words, program=("analysis/report.py",))
    assert report.code == 0, report
    assert trial_id in (tmp_path / "r.html").read_text()


def test_load_results_reads_stores_and_archives_together(archive: Path, made: Path, tmp_path: Path) -> None:
    frame, stored = load_results(archive), load_results(made)
    assert frame.drop(columns="store").equals(stored.drop(columns="store"))
    assert set(frame["store"]) == {str(archive)}
    assert len(load_results(made, archive)) == len(stored)


def test_where_something_is_written_an_archive_is_refused(archive: Path) -> None:
    told = launch(f"results={archive}", *SMALL).complaint
    assert told.endswith(
        "is a file: give a directory; an archive is only read: irm-sweeps unpack adds its results to a directory"
    )
    for words in (["work", "a"], ["cancel", "a"]):
        assert "is a file: give a directory; an archive's" in here(*words, "--results", archive).complaint
    assert "has no sweeps" in here("status", "--all", "--results", archive).complaint
