"""A store with hostile texts in it, and the report of a store as an outline."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import synthetic_store as synthetic
from irm_sweeps.analysis import report_command as report
from irm_sweeps.sweep.paper import load_paper

HOSTILE = '</pre></script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">\'"&'


def by_seed(trial, environment):
    return 0.7 + 0.01 * float(environment) + 0.003 * (trial.seed * 7 % 10)


def fill(root: Path) -> Path:
    """Two papers with results; trials that failed with a hostile message, diverged, and are damaged."""
    bae, demo = load_paper("bae2021_table1"), load_paper("demo")
    for row in ("erm", "irmv1", "grayscale"):
        synthetic.fill(root, bae, row, by_seed)
    synthetic.fill(root, demo, "erm", by_seed)
    a, b, c, d, *_ = synthetic.trials_of(bae, "vrex")
    failed = synthetic.failed(a, f"RuntimeError: {HOSTILE}")
    failed["error"]["details"] = f"Traceback: {HOSTILE}"
    strange = synthetic.completed(c, by_seed)
    strange["provenance"] = {
        "git": {"commit": HOSTILE, "dirty": True},
        "own_git": {"commit": HOSTILE, "dirty": True},
        "own_code": {HOSTILE: HOSTILE},
        "software": {"torch": HOSTILE},
        "hardware": {"name": HOSTILE},
        "data_sha256": {HOSTILE: HOSTILE},
    }
    strange["config"] = {**strange["config"], "method": {"_target_": f"x.{HOSTILE}"}}
    bare = synthetic.completed(d, by_seed)
    assert not {"provenance", "timing"} & bare.keys()
    synthetic.write(root, failed, synthetic.diverged(b, 120), strange, bare)
    damaged = synthetic.trials_of(bae, "erm")[0]
    (root / damaged.id / "result.json").write_text("{")
    return root


class Outline(HTMLParser):
    """Checks that what is opened is closed, and notes ids, links, references and words."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.unnamed = 0
        self.text = text
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.targets.append(str(given["href"]))
        self.sources += [str(given[key]) for key in ("src", "srcset") if key in given]
        self.unnamed += tag == "img" and not given.get("alt")
        assert not any(key.startswith("on") for key in given), given

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def words(outline: Outline) -> str:
    return re.sub(r"\s+", " ", " ".join(outline.words))


def reported(store: Path, folder: Path, *argv: str) -> Outline:
    report.main(["--results", str(store), "--output", str(folder / "page.html"), *argv])
    return Outline((folder / "page.html").read_text())
