"""A tiny model that learned eight rows by heart, its data files, and a finished run, built once per session."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))

import memorizers
import tiny_models

from remanence.cli import app
from remanence.core.record import Record


@dataclass(frozen=True)
class Said:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line of complaint on stderr."""
        return next((line for line in self.err.splitlines() if line.startswith("remanence: ")), "")


Command = Callable[..., Said]


@pytest.fixture
def remanence(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in this process, down to the file descriptors."""

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["remanence", *map(str, arguments)])
        _ = capfd.readouterr()
        try:
            app.main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return run


def write_rows(path: Path, records: Sequence[Record]) -> Path:
    rows = [{"id": r.id, "prompt": r.prompt, "completion": r.completion} for r in records]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base`, `tuned`, `rows.jsonl` (learned) and `held.jsonl` (never seen)."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("cli")
    tiny_models.save_model(folder / "base", "llama")
    memorizers.overfit(folder / "base", folder / "tuned", memorizers.LEARNED)
    write_rows(folder / "rows.jsonl", memorizers.LEARNED)
    write_rows(folder / "held.jsonl", memorizers.UNSEEN)
    return folder


SHORT = ("--new-tokens=12", "--prefixes=0,4,8", "--scheme=T=1")


@pytest.fixture
def audit(remanence: Command, place: Path, tmp_path: Path) -> Command:
    """`remanence audit` on the tuned model; options given replace the ones that are there."""

    def run(*options: str | Path, out: Path | None = None, **replaced: str | Path | None) -> Said:
        named: dict[str, Any] = {"model": place / "tuned", "data": place / "rows.jsonl", **replaced}
        given = [f"--{name}={value}" for name, value in named.items() if value is not None]
        return remanence("audit", *given, f"--out={out or tmp_path / 'run'}", *SHORT, *options)

    return run
