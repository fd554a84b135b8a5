"""A user's YAML with the name of one of the package's is refused, since Hydra would silently use the package's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import CAN_BE_PLAIN, ROOT, SMALL, each_as_plain_user, irm_sweeps, launch
from irm_sweeps.analysis import table_command
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import conf_dir, own_conf_dir
from irm_sweeps.errors import UserError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of YAMLs, empty, where commands find it."""
    monkeypatch.delenv("IRM_SWEEPS_CONF", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf"
    folder.mkdir()
    return folder


def put(folder: Path, group: str, name: str) -> Path:
    path = folder / group / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("_target_: mine.Mine\n")
    return path


CHOICES = [
    "method vrex",
    "dataset colored_mnist",
    "backbone mlp",
    "optimizer adam",
    "paper demo",
    "hydra/launcher local",
]


@pytest.mark.parametrize("choice", CHOICES)
def test_each_command_names_both_files_and_the_fix(choice: str, own: Path) -> None:
    group, name = choice.split()
    path = put(own, group, name)
    for words in ([f"{group}={name}"], ["-m", "method=erm"]):
        complaint = launch(*words, *SMALL).complaint
        assert f"{path} has the name of the package's own {conf_dir() / group / name}.yaml" in complaint
        assert complaint.endswith(f"rename it, e.g. my_{name}.yaml, and take {group}=my_{name}")
    assert not Path("results").exists()
    with pytest.raises(UserError, match="package's own"):
        compose([])


def test_a_link_that_leads_nowhere_is_refused_like_a_file(own: Path) -> None:
    path = put(own, "method", "vrex")
    path.unlink()
    path.symlink_to("/nowhere")
    assert f"{path} has the name of the package's own" in launch("method=vrex", *SMALL).complaint


def test_the_list_of_methods_has_none_twice(own: Path) -> None:
    put(own, "method", "vrex")
    answer = irm_sweeps("methods")
    assert "rename it" in answer.complaint
    assert answer.out == ""


def test_tables_refuse_it_too(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(own, "paper", "demo")
    with pytest.raises(SystemExit) as stop:
        table_command.main(["--paper", "demo"])
    assert stop.value.code == 2
    assert "rename it" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_a_folder_that_is_typed_is_looked_at(flag: str, own: Path) -> None:
    put(own.rename("elsewhere"), "method", "vrex")
    assert "rename it" in launch(*flag.format("elsewhere").split(), "method=vrex", *SMALL).complaint


def test_other_names_are_welcome(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "conf" / "method" / "vrex.yaml", put(own, "method", "my_vrex"))
    put(own, "method_of_another_program", "vrex")
    assert own_conf_dir() == own
    assert launch("method=my_vrex", "lam=3", *SMALL).code == 0


def test_a_folder_of_any_name_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its path goes through Hydra's grammar, in which quotes, commas, brackets and backslashes mean something."""
    folder = tmp_path / 'it\'s ${lam} [a, "{b}"] \\c\\' / "conf"
    shutil.copy(ROOT / "conf" / "method" / "vrex.yaml", put(folder, "method", "my_vrex"))
    monkeypatch.delenv("IRM_SWEEPS_CONF", raising=False)
    monkeypatch.chdir(folder.parent)
    assert compose(["method=my_vrex"])["method"] == compose(["method=vrex"])["method"]
    assert launch("-m", "method=my_vrex", "lam=3", "seed=0,1", "plan=true", *SMALL).code == 0


def test_what_editors_and_macos_put_beside_a_yaml_is_no_choice(own: Path) -> None:
    """The lock of Emacs is a link that leads nowhere; a link of one's own may, too."""
    shutil.copy(ROOT / "conf" / "method" / "vrex.yaml", put(own, "method", "my_vrex"))
    (own / "method" / ".#my_vrex.yaml").symlink_to("me@host.123:456")
    (own / "method" / "._my_vrex.yaml").write_bytes(b"\0\5\x16\7\xff_target_: Mine\n")
    (own / "method" / "moved.yaml").symlink_to(own / "nowhere.yaml")
    assert "unknown key `method.foo`" in launch("method=my_vrex", "method.foo=1", *SMALL).complaint
    named = launch("method=", *SMALL).complaint
    assert "moved, my_vrex, pair" in named
    assert "._my" not in named
    assert ".#my" not in named
    left_out = irm_sweeps("methods").err
    assert left_out.startswith(f"left out: {own / 'method' / 'moved.yaml'}: ")
    assert len(left_out.splitlines()) == 1
    assert launch("method=my_vrex", "lam=3", *SMALL).code == 0


@pytest.mark.skipif(not CAN_BE_PLAIN, reason="root may read anything, and setpriv is missing")
def test_a_folder_that_may_not_be_read_is_one_line(own: Path) -> None:
    own.chmod(0)
    code = f"import os; os.chdir({str(own.parent)!r}); from irm_sweeps import cli; cli.main(['methods'])"
    (answer,) = each_as_plain_user(["-c", code])
    assert answer.complaint.startswith(f"error: {own} cannot be read: Permission denied: make it readable for you")


def test_the_package_s_own_folder_is_no_rival_of_itself(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(conf_dir()))
    assert own_conf_dir() == conf_dir()
