"""The house has floors: imports point down only, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import remanence

ROOT = Path(remanence.__file__).parent

FLOORS = {
    "core": 0,
    "text": 1,
    "stats": 1,
    "corpora": 1,
    "models": 2,
    "training": 2,
    "attack": 3,
    "measure": 3,
    "explain": 3,
    "mitigate": 3,
    "memory": 3,
    "benchmarks": 3,
    "theory": 3,
    "report": 4,
    "distributed": 4,
    "testbeds": 4,
    "engine": 5,
    "jobs": 6,
    "replications": 6,
    "cli": 7,
}
WINGS = 3
"""The floor of the systems: its wings never import each other."""

HEAVY = ("torch", "transformers", "peft", "numba", "scipy", "sklearn", "datasets", "trl", "ray")


def imported(path: Path, root: Path = ROOT) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in a file, inside functions too; relative ones made absolute."""
    package = ["remanence", *path.relative_to(root).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def broken_rules(root: Path) -> list[str]:
    """Every import that points up, or sideways between wings."""
    found: list[str] = []
    for path in sorted(root.rglob("*.py")):
        folder = path.relative_to(root).parts[0]
        if folder in {"__init__.py", "__main__.py"}:
            continue
        for line, name in imported(path, root):
            parts = name.split(".")
            if parts[0] != "remanence":
                continue
            other = parts[1] if len(parts) > 1 else ""
            place = f"{path.relative_to(root)}:{line} imports {name}"
            if other not in FLOORS:
                found.append(f"{place}: the top of the package is for users")
            elif FLOORS[other] > FLOORS[folder]:
                found.append(f"{place}: upwards")
            elif FLOORS[other] == FLOORS[folder] == WINGS and other != folder:
                found.append(f"{place}: from wing to wing")
    return found


def test_imports_point_down():
    assert broken_rules(ROOT) == []


def test_every_folder_has_a_floor():
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert folders <= set(FLOORS)


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("core/a.py", "from remanence.models import reduce", True),
        ("core/a.py", "def f():\n    import remanence.stats.rates", True),
        ("measure/a.py", "from remanence.attack.prefix import Prefix", True),
        ("measure/deep/a.py", "from ...attack import prefix", True),
        ("measure/deep/a.py", "from ..other import thing", False),
        ("measure/a.py", "from remanence.core.table import TokenRow", False),
        ("report/a.py", "from remanence import audit", True),
        ("cli/a.py", "from remanence.jobs.api import audit", False),
        ("core/a.py", "import json", False),
    ],
)
def test_the_rules_strike_where_they_should(tmp_path: Path, file: str, line: str, wrong: bool):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert bool(broken_rules(tmp_path)) == wrong


def import_graph(root: Path) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports, at the top or inside functions."""
    files = {".".join(["remanence", *p.relative_to(root).with_suffix("").parts]): p for p in root.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        names = [name for _, name in imported(path, root)]
        graph[module] = {own for name in names for own in (name, name.rpartition(".")[0]) if own in files} - {module}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, each in order of its names."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        seen, waiting = set[str](), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        reached[start] = seen
    groups = {tuple(sorted(m for m in reached[a] if a in reached[m])) for a in graph if a in reached[a]}
    return sorted(map(list, groups))


def test_no_module_imports_itself_through_others():
    assert cycles(import_graph(ROOT)) == []


def test_a_cycle_is_found_also_through_a_function(tmp_path: Path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "a.py").write_text("from remanence.core import b\n")
    (tmp_path / "core" / "b.py").write_text("def f():\n    from remanence.core.c import g\n")
    (tmp_path / "core" / "c.py").write_text("import remanence.core.a\n")
    (tmp_path / "core" / "d.py").write_text("import remanence.core.a\n")
    assert cycles(import_graph(tmp_path)) == [["remanence.core.a", "remanence.core.b", "remanence.core.c"]]


def loaded(code: str) -> set[str]:
    """The heavy libraries that a fresh process has loaded after this code."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    code += f"\nimport sys; print('LOADED', *[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


CORE = sorted(f"remanence.core.{p.stem}" for p in (ROOT / "core").glob("*.py") if p.stem != "__init__")


def test_core_loads_nothing_heavy():
    assert loaded("import remanence, " + ", ".join(CORE)) == set()


RUN = """
from remanence.cli.app import app
try:
    app({!r})
except SystemExit as end:
    assert not end.code
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["audit", "--help"], ["list"], ["list", "--format", "json"], ["show", "npo"]],
    ids=" ".join,
)
def test_the_command_line_answers_without_loading_anything_heavy(arguments: list[str]):
    assert loaded(RUN.format(arguments)) == set()


def test_systems_of_the_token_table_need_no_torch():
    modules = [f"remanence.measure.{p.parent.name}.{p.stem}" for p in (ROOT / "measure").glob("*/*.py")]
    assert "torch" not in loaded("import " + ", ".join(m.removesuffix(".__init__") for m in modules))
