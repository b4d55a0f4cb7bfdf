"""The manual says what the program does: outputs, options, imports, links, and the example of CONTRIBUTING.md."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import reference
from blocks import PENDING, Block, blocks, commands, faults, fresh, transcript

from remanence.core.catalogue import entries

ROOT = Path(__file__).resolve().parents[2]


def block(language: str, body: str, recorded: str | None = None) -> Block:
    return Block("page.md", 1, language, "", body, 0, recorded)


# ------------------------------------------------------------------ the manual


def test_what_is_generated_is_up_to_date_and_no_block_is_wrong() -> None:
    wrong = list(reference.differences())
    assert not wrong, "run `python tools/reference.py`:\n" + "\n".join(wrong)


def test_links_of_the_top_pages_lead_to_files() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
        assert not [link for link in links if not (ROOT / link).is_file()], name


def test_the_readme_begins_with_the_two_commands() -> None:
    found = next(blocks("README.md", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert [line.split("#")[0].strip() for line in found.body.splitlines()] == ["make demo", "make test"]


def test_every_system_has_its_place_in_the_catalogue() -> None:
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    anchors = [reference.anchor(entry) for entry in entries()]
    assert len(anchors) == len(set(anchors)) > 0
    assert not [anchor for anchor in anchors if f"{{ #{anchor} }}" not in page]


def test_every_column_of_a_run_is_explained() -> None:
    tables = reference.run_tables()
    assert not [line for line in tables.splitlines() if line.startswith("| `") and line.endswith("|  |")]


def test_every_column_of_a_forgetting_is_explained() -> None:
    tables = reference.forget_tables()
    assert not [line for line in tables.splitlines() if line.startswith("| `") and line.endswith("|  |")]


def test_every_column_of_a_study_is_named() -> None:
    from remanence.explain.attention.table import ATTENTION
    from remanence.jobs.study.outcomes import ATTEMPTS, CURVE, MAPS, OUTCOMES, PROBES
    from remanence.jobs.study.summary import EFFECTS

    page = (ROOT / "docs" / "study-folder.md").read_text(encoding="utf-8")
    for table in (PROBES, ATTEMPTS, OUTCOMES, CURVE, MAPS, ATTENTION, EFFECTS):
        plain = [
            name for name in table.names if not name.startswith(("floor_", "base_", "ceiling_", "did_", "excess_"))
        ]
        assert [name for name in plain if f"`{name}`" not in page] == []


def test_the_site_builds_strictly_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loads = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=.?(?:https?:)?//")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert pages and not [p for p in pages if loads.search(p.read_text(encoding="utf-8"))]


# ------------------------------------------------------ the example of CONTRIBUTING


@pytest.fixture
def example(tmp_path: Path) -> dict[str, Path]:
    """The titled blocks of CONTRIBUTING.md as files, by path."""
    found: dict[str, Path] = {}
    for one in blocks("CONTRIBUTING.md", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        if one.title:
            found[one.title] = tmp_path / one.title
            found[one.title].parent.mkdir(parents=True, exist_ok=True)
            found[one.title].write_text(one.body, encoding="utf-8")
    return found


def test_the_example_system_is_listed_by_itself(example: dict[str, Path], tmp_path: Path) -> None:
    (entry,) = entries(tmp_path / "src" / "remanence", "log_rank")
    assert (entry.name, entry.verb, entry.cls, entry.needs) == ("log_rank", "Measure", "LogRank", "Scores")


def test_the_tests_of_the_example_system_pass(example: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    _ = load("remanence.measure.likelihood.log_rank", example["src/remanence/measure/likelihood/log_rank.py"])
    tests = load("example_test_log_rank", example["tests/measure/test_log_rank.py"])
    names = [name for name in vars(tests) if name.startswith("test_")]
    assert len(names) == 2
    for name in names:
        getattr(tests, name)()


def test_the_example_system_is_shown_run_and_audited_by_its_name_without_another_edit(
    example: dict[str, Path], tmp_path: Path
) -> None:
    """In a copy of the package, with nothing added but the file of CONTRIBUTING.md."""
    package = shutil.copytree(ROOT / "src" / "remanence", tmp_path / "copy" / "remanence", ignore=_caches)
    name = "measure/likelihood/log_rank.py"
    shutil.copy(example[f"src/remanence/{name}"], package / name)
    script = (
        "import remanence\n"
        "from remanence.core.record import Record\n"
        "from remanence.core.catalogue import find\n"
        "from remanence.jobs.systems.describe import description\n"
        "from remanence.models.parrot import Parrot\n"
        "told = [Record(str(i), text=f'row {i} was told at noon, all of its words') for i in range(6)]\n"
        "other = [Record(str(i), text=f'nobody heard of item {i} before this day') for i in range(6)]\n"
        "print(description(find('log_rank')))\n"
        "more = {'heldout': other, 'show_progress': False}\n"
        "found = remanence.run('log_rank', Parrot(tuple(told)), told, out='run', alpha=0.5, **more)\n"
        "print(found.verdict['auc']['tuned']['value'])\n"
        "more |= {'measures': ('log_rank',), 'generate': 'none'}\n"
        "audit = remanence.audit(Parrot(tuple(told)), told, out='audit', **more)\n"
        "print([line['auc'] for line in audit.run.lines('membership') if line['measure'] == 'log_rank'][0])\n"
        "print('Log-rank' in open('audit/report.html').read())\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "copy"), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error::DeprecationWarning:remanence", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown, *figures = done.stdout.rsplit("\n", 4)[:4]
    assert "needs: a target that scores tokens" in shown and "Su et al. 2023" in shown
    assert figures == ["1.0", "1.0", "True"]


def _caches(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]


# ------------------------------------------------------------ the checks themselves


def test_a_transcript_is_read_and_written_back() -> None:
    body = "$ remanence compare a \\\n    b\nsame\n\nrows\n$ echo $?\n0\n"
    assert commands(body) == [("remanence compare a \\\n    b", "same\n\nrows"), ("echo $?", "0")]
    assert transcript(commands(body)) == body


def test_a_wrong_output_is_put_right() -> None:
    said = fresh(block("console", "$ remanence report nowhere\nremanence: all is well.\n$ echo $?\n0\n"), None)
    assert said.startswith("$ remanence report nowhere\nremanence: nowhere is not a run folder")
    assert said.endswith("$ echo $?\n2\n")


def test_a_recorded_output_comes_from_the_file_and_waits_for_it() -> None:
    long = block("console", "$ remanence demo\nmade up\n", "docs/demo-output.txt")
    assert fresh(long, {"remanence demo": "real"}) == "$ remanence demo\nreal\n"
    assert fresh(long, None) == f"$ remanence demo\n{PENDING}\n"


@pytest.mark.parametrize(
    ("language", "body", "words"),
    [
        ("sh", "remanence audit --modell m\n", "no option --modell"),
        ("sh", "remanence adit\n", "no command `remanence adit`"),
        ("console", "$ remanence demo\n", "takes long"),
        ("python", "from remanence.core.run import Rum\n", "has no Rum"),
        ("python", "import remanence\nremanence.audit('m', 'd', prefix=3)\n", "knows no prefix"),
        ("python", "def f(:\n", "does not compile"),
    ],
)
def test_what_is_wrong_in_a_block_is_told(language: str, body: str, words: str) -> None:
    (fault,) = faults(block(language, body))
    assert fault.startswith("page.md:1: ") and words in fault
