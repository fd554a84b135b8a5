"""The report: a complete, self-contained page that treats stored text as untrusted and is readable on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import synthetic_store as synthetic
from browser import CHROMIUM, Page, chromium
from irm_sweeps.analysis import report_command as report
from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.analysis.papers.candidates import candidate_cells
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report import sections as report_sections
from irm_sweeps.analysis.report.order import in_order
from irm_sweeps.compose import COMPONENTS, compose
from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.store import claims
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep import grid
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.paper import load_paper, read_plain

HOSTILE = '</pre></script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">\'"&'

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


pytestmark = pytest.mark.usefixtures("composed_once")


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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("store") / "results")


@pytest.fixture(scope="module")
def written(store: Path) -> Path:
    report.main(["--results", str(store)])
    return store / "report.html"


@pytest.fixture(scope="module")
def text(written: Path) -> str:
    return written.read_text()


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


@pytest.fixture(scope="module")
def outline(text: str) -> Outline:
    return Outline(text)


def words(outline: Outline) -> str:
    return re.sub(r"\s+", " ", " ".join(outline.words))


# -- what it says ---------------------------------------------------------------------------------------


def test_the_verdicts_come_first_and_count_every_test(text: str, outline: Outline) -> None:
    said = words(outline)
    counts = re.search(r"(\d+) published cells compared: (\d+) equivalent, (\d+) differ, (\d+) undecided", said)
    assert counts is not None
    assert int(counts[1]) == 12 == sum(int(counts[i]) for i in (2, 3, 4))
    assert "Of 9 tests" in said, "three cells are printed without ±"
    listed = re.findall(
        r'<td class="number equivalent">(\d+)</td><td class="number[^"]*">(\d+)</td>\s*<td class="number">(\d+)<', text
    )
    repeated = sum(int(n) for row in listed for n in row) - 12
    assert repeated > 0, "Figure 3 and cmnist have cells of Table 1"
    assert f"{repeated} of the cells below repeat a cell of a table above them" in said
    assert said.index("published cells compared") < said.index("bae2021 Table 1: test accuracy")
    assert "0.45 would by chance" in said
    assert "36 trials from" in said


def test_papers_with_results_are_shown_and_the_others_have_their_command(text: str, outline: Outline) -> None:
    assert {"bae2021_table1", "bae2021_figure3", "demo"} <= set(outline.ids), "a figure of the table's trials, too"
    assert "bae2021_table5" not in outline.ids
    assert "python launch.py -m paper=bae2021_table5" in text


def test_the_answer_comes_first_and_the_rest_in_the_order_of_the_paper(outline: Outline) -> None:
    said = words(outline)
    answer = said.index("of 12 published cells are equivalent")
    assert answer < said.index("bae2021 Table 1: test accuracy") < said.index("Cells by verdict")
    shown = [name for name in outline.ids if name in paper_names()]
    assert shown == [*(name for name in load_paper("bae2021").include if name in shown), "cmnist", "demo"]
    headings = re.findall(r"<h2 id=[^>]*>([^<]*)", outline.text)
    assert headings[:3] == ["bae2021 Table 1", "Verdicts", "bae2021 Figure 3"]
    assert headings[headings.index("Demo") + 1] == "Not yet run"
    folded = outline.text.partition('id="absent"')[2].partition("</section>")[0]
    assert "<details>" in folded.partition("bae2021_table5")[0], "commands of what was not run are folded"


def test_the_order_is_that_of_numbers_where_no_union_says(composed_once: None) -> None:
    names = ["mine_figure10", "mine_figure9", "mine_table1"]
    table1 = load_paper("bae2021_table1")
    papers = {name: table1.model_copy(update={"name": name}) for name in names}
    assert [paper.name for paper in in_order(papers)] == ["mine_figure9", "mine_figure10", "mine_table1"]


def test_the_latest_sweep_is_the_answer_and_running_trials_are_shown(tmp_path: Path) -> None:
    root = tmp_path / "results"
    store = Store(root)
    synthetic.fill(root, load_paper("demo"), "erm", by_seed)
    trials, _, _ = collect([f"results={root}", "dataset.source=embedded", "training.steps=20", "seed=0,1"])
    done, running = trials.values()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    labels = {running.id: f"mine {HOSTILE}"}
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    manifest = write_manifest(store, "sweep", configs, [[trial_id] for trial_id in trials], run, labels)
    synthetic.write(root, synthetic.completed(done, by_seed))
    assert claims.acquire(store, running.id, manifest.launch, 20, 1)
    rows = [{"step": step, "risks": [0.7, 0.5 - step / 100]} for step in (0, 10)]
    (root / running.id / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for argv in ([], ["--sweep", manifest.name]):
        page = reported(root, tmp_path, *argv)
        said = words(page)
        assert page.text.partition("<h1>")[2].startswith(f"{manifest.name}</h1>")
        assert said.index("1 trial is running.") < said.index("Provenance")
        assert f"mine {' '.join(HOSTILE.split())}" in said
        assert "step 0 of 20" in said
        assert f"irm-sweeps watch --sweep {manifest.name} --results {root}" in said
        assert page.tags.count("polyline") == 2
        assert page.open == []


def test_running_trials_are_looked_at_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that cannot be read ends no report; the heartbeat of a worker elsewhere is judged without a new file."""
    root = tmp_path / "results"
    store = Store(root)
    store.prepare()
    trials, _, _ = collect([f"results={root}", "dataset.source=embedded", "training.steps=20", "seed=0,1,2"])
    first, second, unknown = trials.values()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    names = []
    for name, members in (("one", [first]), ("two", [second, unknown])):
        configs = {trial.id: trial.canonical for trial in members}
        names.append(write_manifest(store, name, configs, [list(configs)], run).name)
    for trial in trials.values():
        claim = claims.acquire(store, trial.id, "launch", 20, 1)
        assert claim
        far = replace(claim, holder=replace(claim.holder, host="far", machine="far"), seconds_since_step=1.0)
        far.path.write_bytes(far.content())
    read = claims.current

    def refusing(store: Store, trial_id: str) -> claims.Claim | None:
        if trial_id == unknown.id:
            raise StoreError("another user's claim")
        return read(store, trial_id)

    monkeypatch.setattr(claims, "current", refusing)
    before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
    page = reported(root, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))} == before
    assert "2 trials are running." in words(page)
    for name in names:
        assert words(page).count(f"irm-sweeps watch --sweep {name} --results {root}") == 1
    assert f"watch --sweep {names[0]}" not in words(reported(root, tmp_path, "--sweep", names[1]))


def test_a_paper_file_is_read_as_hydra_reads_it(composed_once: None) -> None:
    plain = {name: values for name in paper_names() if (values := read_plain(name)) is not None}
    assert {"bae2021_table1", "bae2021_figure3"} - plain.keys() == {"bae2021_figure3"}, "which has a list of defaults"
    for name, values in plain.items():
        assert values == compose([f"paper={name}"])["paper"], name


def test_the_quick_look_finds_every_cell_that_has_results(composed_once: None) -> None:
    """The classes that it reads in the overrides are those of the trials that Hydra composes."""
    for name in ("bae2021_table1", "protocols", "bae2021_table6"):
        paper = load_paper(name)
        every = [(row, column) for row in paper.shown.values() if row.sweep is not None for column in paper.columns]
        classes = {}
        for row, column in every:
            for trial in paper.cell_trials(row, column).values():
                key = tuple(trial.config[group]["_target_"] for group in COMPONENTS)
                classes.setdefault(key, []).append((row.label, column.label))
        for key, cells in classes.items():
            found = {(row.label, column.label) for row, column in candidate_cells(paper, {key})}
            assert found == set(cells), name
        assert not list(candidate_cells(paper, set()))


def test_a_union_is_neither_shown_nor_waited_for(store: Path, outline: Outline) -> None:
    """Its tables are on the page; no command would bring a table of its own there."""
    assert load_paper("bae2021").include
    parts = list(report_sections.sections(Results([store]), [store], None, []))
    assert "bae2021" not in [
        part.paper.name if isinstance(part, report_sections.Section) else part.name for part in parts
    ]
    assert load_paper("bae2021").title not in words(outline)


def reported(store: Path, folder: Path, *argv: str) -> Outline:
    report.main(["--results", str(store), "--output", str(folder / "page.html"), *argv])
    return Outline((folder / "page.html").read_text())


def test_some_rows_of_all_papers(store: Path, tmp_path: Path) -> None:
    """Each paper has those rows that it has; one without any is left out, and not to be run."""
    page = reported(store, tmp_path, "paper.only=[irmv1,mm_rex]")
    said = words(page)
    assert {"bae2021_table1", "bae2021_figure3"} <= set(page.ids)
    assert "Rows shown: irmv1, mm_rex." in said
    assert "Left out, without trials in the rows that are asked for: " in said
    left_out = said.partition("that are asked for: ")[2].partition(".")[0].split(", ")
    for name in paper_names():
        paper = load_paper(name)
        has = [row for row in ("irmv1", "mm_rex") if row in paper.rows]
        assert (name in left_out) == (not has and not paper.include), name
        if has and name not in page.ids:
            assert f"paper={name} 'paper.only=[{','.join(has)}]'".replace("'", "") in said.replace("'", "")
    assert "no row" not in said
    assert "cannot be shown" not in said


def test_a_row_without_trials_is_not_to_be_run(store: Path, tmp_path: Path) -> None:
    said = words(reported(store, tmp_path, "paper.only=[random]"))
    assert "bae2021_table1" in said.partition("that are asked for: ")[2].partition(".")[0].split(", ")
    assert "paper=bae2021_table1" not in said


def test_what_cannot_be_shown_is_not_waited_for(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "mine.yaml").write_text("name: mine\ntitle: Mine\nselct: val\n")
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path))
    said = words(reported(store, tmp_path, "method.dummy=vector"))
    waited, _, unshown = said.partition("Not yet run")[2].partition("Cannot be shown")
    assert "mine cannot be shown: unknown key `paper.selct`" in unshown
    assert "cannot be shown: demo, row erm: unknown key `method.dummy`" in unshown
    assert "unknown key" not in waited
    with pytest.raises(UserError, match=r"no paper file has a row 'ermm'.*; of mine nothing is known"):
        list(report_sections.sections(Results([store]), [store], None, [], ["paper.only=[ermm]"]))


def test_every_measured_cell_has_its_command(store: Path, outline: Outline) -> None:
    bae = load_paper("bae2021_table1")
    said = words(outline)
    for row in ("erm", "irmv1", "vrex", "grayscale"):
        command = bae.command(row, [f"results={store}"])
        assert said.count(command) >= 3, row


def test_every_trial_has_its_command(store: Path, text: str) -> None:
    for folder in store.iterdir():
        if (folder / "result.json").exists() and (folder / "result.json").read_text() != "{":
            assert f"irm-sweeps reproduce {folder.name}" in text


def test_what_was_lost_is_said_with_its_reason(outline: Outline) -> None:
    said = words(outline)
    assert "1 failed: RuntimeError: </pre></script><script>" in said
    assert "1 diverged: the objective was not finite" in said
    assert "result.json" in said[said.index("Files that were skipped") :]


def test_figures_are_embedded(outline: Outline) -> None:
    shown = [name for name in paper_names() if name in outline.ids]
    assert {"demo", "bae2021_table1", "bae2021_figure3"} <= set(shown)
    kinds = [figure.kind for name in shown if (figure := load_paper(name).figure)]
    # One of the training history draws nothing here: the synthetic store has none.
    assert len(outline.sources) == len(kinds) - kinds.count("history")
    assert all(source.startswith("data:image/svg+xml;base64,") for source in outline.sources)


def test_the_page_needs_nothing_else(text: str, outline: Outline) -> None:
    assert "http:" not in text
    assert "https:" not in text
    assert not {"iframe", "object", "embed", "base", "form"} & set(outline.tags)
    assert [t for t in outline.targets if not t.startswith("#")] == []
    assert "default-src 'none'" in text
    assert text.startswith("<!DOCTYPE html>")


def test_the_page_is_well_formed_and_its_links_lead_somewhere(outline: Outline) -> None:
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {target.removeprefix("#") for target in outline.targets} <= set(outline.ids)
    assert outline.unnamed == 0
    assert outline.tags.count("caption") == outline.tags.count("table") - 1  # the list's caption is its summary
    assert outline.tags.count("main") == outline.tags.count("h1") == 1


def test_nothing_from_the_store_becomes_html(text: str, outline: Outline) -> None:
    assert outline.tags.count("script") == 1
    assert outline.tags.count("img") == len(outline.sources), "the figures"
    assert "<script>window.hacked" not in text
    assert 'onerror="' not in text
    assert text.count("&lt;script&gt;window.hacked") >= 6


def test_overrides_and_several_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = load_paper("demo")
    one, two = tmp_path / "one", tmp_path / "two"
    synthetic.fill(one, demo, "erm", by_seed, ["seed=0"])
    synthetic.fill(two, demo, "erm", by_seed, ["seed=range(1,4)"])
    output = tmp_path / "deep" / "page.html"
    report.main(["--results", str(one), str(two), "--output", str(output), "seed=range(0,4)"])
    assert capsys.readouterr().out == f"{output}\n"
    said = words(Outline(output.read_text()))
    assert "(n=4)" in said
    assert "4 trials from" in said
    assert "overrides seed=range(0,4)" in said
    assert "No published cell can be compared yet" in said


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--results", "nowhere"], "nowhere: no such directory"),
        (["--paper", "demo"], "--paper"),
        (["sede=3"], "did you mean `seed`"),
        (["paper.only=[ermm]"], "paper.only: no paper file has a row 'ermm' (did you mean `erm`?); rows have the"),
        (["paper.only=[erm,bae2021_table1]"], "no paper file has a row 'bae2021_table1'"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(SystemExit) as stop:
        report.main(argv)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert complaint in line
    assert line.count("\n") == 1
    assert not (tmp_path / "results" / "report.html").exists()


# -- in a browser ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


OPEN_ALL = "for (const part of document.querySelectorAll('details')) part.open = true"


@needs_chromium
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_page_is_wider_than_its_screen(page: Page, written: Path, width: int) -> None:
    page.open(written, width)
    page.run(OPEN_ALL)
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth") <= width
    scrolls = "[...document.querySelectorAll('.wide')].some((box) => box.scrollWidth > box.clientWidth)"
    assert page.run(scrolls) or width > 390
    assert page.complaints() == []


@needs_chromium
def test_a_hostile_message_does_nothing(page: Page, written: Path) -> None:
    page.open(written, 1280)
    page.run(OPEN_ALL)
    assert page.run("typeof window.hacked") == "undefined"
    assert page.complaints() == []


@needs_chromium
def test_published_values_can_be_hidden(page: Page, written: Path) -> None:
    page.open(written, 1280)
    cell = "document.querySelector('section[aria-labelledby=bae2021_table1] tbody td').innerText.split('\\n').length"
    before = page.run(cell)
    page.run("document.getElementById('published').click()")
    assert (before, page.run(cell)) == (2, 1)
    page.run("document.getElementById('published').click()")
    assert page.run(cell) == 2


@needs_chromium
def test_the_list_of_trials_filters_and_sorts(page: Page, written: Path) -> None:
    page.open(written, 1280)
    page.run(OPEN_ALL)
    shown = "[...document.querySelectorAll('#trials tbody tr')].filter((row) => !row.hidden)"
    everything = page.run(f"{shown}.length")
    page.run(
        "const f = document.getElementById('filter'); f.value = 'irmv1 seed=3'; f.dispatchEvent(new Event('input'))"
    )
    assert page.run(f"{shown}.length") == 1
    assert page.run("document.getElementById('count').textContent") == f"1 of {everything}"
    page.run("document.getElementById('filter').value = ''")
    page.run("const s = document.getElementById('status'); s.value = 'failed'; s.dispatchEvent(new Event('change'))")
    assert page.run(f"{shown}.length") == 1
    page.run("document.getElementById('status').value = ''")
    page.run("document.getElementById('status').dispatchEvent(new Event('change'))")
    head = "document.querySelectorAll('#trials thead button')[2]"
    values = f"{shown}.map((row) => row.cells[2].dataset.value).filter((v) => v !== '').map(Number)"
    page.run(f"{head}.click()")
    assert page.run(values) == sorted(page.run(values))
    assert page.run(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    page.run(f"{head}.click()")
    assert page.run(values) == sorted(page.run(values), reverse=True)
    assert page.run(f"{shown}.length") == everything
    assert page.complaints() == []


@needs_chromium
def test_commands_can_be_copied(page: Page, written: Path) -> None:
    page.open(written, 1280)
    page.run(OPEN_ALL)
    copies = "document.querySelectorAll('button.copy').length"
    assert page.run(f"new Promise((done) => setTimeout(() => done({copies}), 200))") == page.run(
        "document.querySelectorAll('code.command').length"
    )


CONTRAST = """
(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  const texts = "h1, h2, p, a, caption, th, td, li, code, summary, label, button, figcaption";
  for (const node of document.querySelectorAll(texts)) {
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, node.tagName + "." + node.className];
  }
  return worst;
})()
"""


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(page: Page, written: Path, dark: bool) -> None:
    """WCAG's 4.5 to 1, of every text against what is behind it."""
    page.open(written, 1280, dark=dark)
    page.run(OPEN_ALL)
    ratio, where = page.run(CONTRAST)
    assert ratio >= 4.5, where
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") != dark


@needs_chromium
def test_it_prints(page: Page, written: Path) -> None:
    page.open(written, 1280, media="print", dark=True)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.pdf().startswith(b"%PDF")


def test_hydra_is_asked_nothing_twice(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed, groups = [], []
    compose, is_group = grid.compose, grid.is_group

    def composing(overrides: Sequence[str], *, resolve: bool) -> Any:
        composed.append(tuple(overrides))
        return compose(overrides, resolve=resolve)

    def asking(key: str) -> bool:
        groups.append(key)
        return is_group(key)

    monkeypatch.setattr(grid, "compose", composing)
    monkeypatch.setattr(grid, "is_group", asking)
    parts = list(report_sections.sections(Results([store]), [store], None, []))
    assert {type(part) for part in parts} == {report_sections.Section, report_sections.Absent}
    assert composed
    assert len(composed) == len(set(composed))
    assert groups
    assert len(groups) == len(set(groups))
