"""What is shipped: the wheel holds every file of the package, and the installed package does the demo's job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = """
import sys
from pathlib import Path
import remanence
from remanence.corpora.casebook.recipe import DEMO
from remanence.jobs.demo import demo
assert Path(remanence.__file__).is_relative_to(sys.prefix), remanence.__file__
result = demo("demo", recipe=DEMO._replace(num_rows=48, num_heldout=12, epochs=1), show_progress=False)
print(result.verdict["sentences"][0])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git knows."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: the wheel is built from the files that git knows")
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in _known("."):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(dist), str(source))
    (built,) = dist.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    known = {name.removeprefix("src/") for name in _known("src/remanence") if (ROOT / name).is_file()}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("remanence/")}
    assert held == known
    assert "remanence/py.typed" in held


@pytest.mark.slow
@pytest.mark.timeout(1500)  # the detector's kernels are compiled once more for the new place
def test_the_installed_package_fine_tunes_and_audits(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which borrows this one's libraries but not its remanence."""
    place = tmp_path / "env"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    (site,) = (place / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    _run(str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    said = _run(str(python), "-c", SMALL, cwd=tmp_path)
    assert "can be extracted word for word" in said
    spec = json.loads((tmp_path / "demo" / "run" / "run.json").read_text(encoding="utf-8"))
    assert spec["job"] == "audit"
    assert (tmp_path / "demo" / "run" / "report.html").stat().st_size > 100_000
    listed = _run(str(place / "bin" / "remanence"), "list", cwd=tmp_path)
    assert "goldfish" in listed


def _known(folder: str) -> list[str]:
    return _run("git", "ls-files", folder, cwd=ROOT).splitlines()


def _run(*command: str, cwd: Path | None = None) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
