"""The rules of the code base, checked by reading its sources; nothing is run."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from arrows import BELOW_TRAINING, EVERYTHING, ROOT, SOURCES, STRANGERS, imports, layer, name_of, own_imports
from irm_sweeps.config import build_component
from irm_sweeps.loggers.logger import Logger
from irm_sweeps.trial import GROUPS


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", [p for p in SOURCES if "hydra_plugins" not in p.parts], ids=name_of)
def test_arrows_point_one_way(path: Path) -> None:
    module = name_of(path)
    for imported in own_imports(path):
        assert layer(imported) <= layer(module), f"{module} imports {imported}"


def importing(package: str) -> list[Path]:
    return [path for path in SOURCES if name_of(path).startswith(f"{package}.")]


@pytest.mark.parametrize(("package", "forbidden"), STRANGERS.items())
def test_packages_do_not_know_each_other(package: str, forbidden: tuple[str, ...]) -> None:
    paths = importing(package)
    assert paths
    for path in paths:
        assert not {i for i in own_imports(path) if i.split(".")[0] in forbidden}, path


def test_the_optimizers_are_beneath_the_trial() -> None:
    for module in BELOW_TRAINING:
        path = ROOT / "src" / "irm_sweeps" / Path(*module.split(".")).with_suffix(".py")
        beneath = own_imports(path) - {"training", "training.torch_optimizers"}
        assert {i.split(".")[0] for i in beneath} <= {"config", "errors"}


def test_analysis_reads_results_and_trains_nothing() -> None:
    for path in (ROOT / "src" / "irm_sweeps" / "analysis").rglob("*.py"):
        imported = {name for name in own_imports(path) if not name.startswith("training.rule_names")}
        assert not {name for name in imported if name.split(".")[0] in {"training", "launchers"}}, path
        assert "torch" not in {i.split(".")[0] for i in imports(path)}, path


@pytest.mark.parametrize("path", [p for p in EVERYTHING if name_of(p) != "data.cifar_batches"], ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    """But for CIFAR-10's own files, by a reader that calls nothing: see `hostile/test_cifar_batches.py`."""
    assert not {i.split(".")[0] for i in imports(path)} & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        call, arguments = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if call == "torch.load":
            assert arguments.get("weights_only") == "True", f"{path}:{node.lineno}"
        if call in ("np.load", "numpy.load"):
            assert arguments.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"
        assert call not in ("yaml.load", "eval", "exec"), f"{path}:{node.lineno}"


def test_the_package_is_light_to_import() -> None:
    """Every command and every worker imports it; the one name that needs pandas loads it when it is used."""
    code = (
        "import sys, irm_sweeps\n"
        "heavy = {'torch', 'pandas', 'numpy', 'scipy', 'hydra', 'pydantic', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert callable(irm_sweeps.load_results)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def undocumented(path: Path) -> Iterator[str]:
    """Public classes, functions and methods without a docstring; not those inside functions."""

    def look(node: ast.AST, where: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_"):
                    continue
                if not ast.get_docstring(child):
                    yield f"{where}.{child.name}"
                if isinstance(child, ast.ClassDef):
                    yield from look(child, f"{where}.{child.name}")

    tree = ast.parse(path.read_text())
    if not ast.get_docstring(tree):
        yield str(path)
    yield from look(tree, name_of(path))


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_what_is_public_is_documented(path: Path) -> None:
    assert not list(undocumented(path))


CONTRACTS = {**GROUPS, "logger": Logger}
YAMLS = [(group, path) for group in CONTRACTS for path in sorted((ROOT / "conf" / group).glob("*.yaml"))]


@pytest.mark.parametrize(("group", "path"), YAMLS, ids=[f"{group}/{path.stem}" for group, path in YAMLS])
def test_a_yaml_has_its_class_s_fields_and_no_others(group: str, path: Path) -> None:
    """None is missing, so that the YAML shows all there is to set; every field is explained in its class."""
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    component = build_component(values, CONTRACTS[group], group)
    assert set(values) - {"_target_"} == set(type(component).model_fields) - {"target"}
    for name, field in type(component).model_fields.items():
        assert field.description, f"{name} has no docstring"
    assert component.target == values["_target_"]


def test_every_group_has_a_yaml() -> None:
    assert {group for group, _ in YAMLS} == set(CONTRACTS)
