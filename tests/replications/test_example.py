"""The worked example of CONTRIBUTING.md: a new experiment is a file and its test, and no edit elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import remanence

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the files of the example in their places."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(Path(remanence.__file__).parent, folder / "src" / "remanence")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for title, body in re.findall(r'```python title="(\S*replications/\S+)"\n(.*?)```', text, flags=re.DOTALL):
        (folder / title).parent.mkdir(parents=True, exist_ok=True)
        (folder / title).write_text(body, encoding="utf-8")
    return folder


def run(checkout: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *command], cwd=checkout, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CLI = ("-c", "from remanence.cli.app import main; main()")


def test_it_is_listed_and_its_own_test_passes(checkout: Path):
    listed = run(checkout, *CLI, "list", "--format", "json")
    (entry,) = [line for line in map(json.loads, listed.splitlines()) if line["name"] == "more_copies"]
    assert entry["verb"] == "Experiment" and entry["class"].endswith(".MoreCopies")
    run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/replications/test_more_copies.py")


@pytest.mark.slow
def test_it_runs_by_name_and_gets_a_page(checkout: Path):
    command = (*CLI, "replicate", "more_copies", "--size", "quick", "--seeds", "0,1,2", "--format", "json", "--save")
    verdicts = [json.loads(line) for line in run(checkout, *command).splitlines()]
    assert [verdict["holds"] for verdict in verdicts] == [True, True, True]
    assert verdicts[0]["figures"]["many copies"]["recited"]["by_seed"][0][3] == 8
    assert (checkout / "src" / "remanence" / "replications" / "results" / "more_copies.json").is_file()
    shutil.copytree(ROOT / "tools", checkout / "tools")
    page = "import replications; print(replications.pages()[replications.FOLDER / 'more_copies.md'])"
    written = run(checkout, "-c", f"import sys; sys.path.insert(0, 'tools'); {page}")
    assert "**Verdict: holds, 3 seeds of 3.**" in written and "| many minus few |" in written
