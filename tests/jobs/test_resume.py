"""A killed audit is taken up where it stopped, and ends with the very bytes of one that was left alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from memorizers import LEARNED, UNSEEN

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.load import load_model
from remanence.models.parrot import Parrot

HERE = Path(__file__).parent
PLACES = (
    "run.json:done",
    "tokens/tuned-train-00001.parquet:begun",
    "tokens/base-heldout-00000.parquet:done",
    "findings.parquet:done",
    "matches/tuned-train-00000.parquet:done",
    "attempts/base-train-00001.parquet:begun",
    "matches.parquet:done",
    "found/00000.parquet:done",
    "origins.parquet:begun",
    "verdict.json:begun",
)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ------------------------------------------------------------------ killed


@pytest.fixture(scope="module")
def folders(tuned: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole`, an audit that was left alone, and `killed-N`, audits killed at `PLACES[N]` and resumed."""
    work = tmp_path_factory.mktemp("killed")
    path = os.pathsep.join([str(HERE), str(HERE.parent / "models"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, HERE / "killed_audit.py", tuned, llama, work, *PLACES],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return work


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PLACES)), ids=PLACES)
def test_a_resumed_audit_equals_one_that_was_left_alone_byte_for_byte(folders: Path, number: int) -> None:
    whole, resumed = files(folders / "whole"), files(folders / f"killed-{number}")
    assert len(whole) > 20 and "verdict.json" in whole  # many shards, to the end
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if resumed[name] != whole[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "seen", [pytest.param("tokens/tuned-train-00000.parquet", marks=pytest.mark.nightly), "findings.parquet"]
)
def test_a_command_killed_from_outside_ends_with_the_same_report(
    tuned: Path, llama: Path, tmp_path: Path, seen: str
) -> None:
    """As a user would see it: the command line, SIGKILL when a file appears, --resume; `report.html` included."""
    rows = "\n".join(f'{{"prompt": "{r.prompt}", "completion": "{r.completion}"}}' for r in LEARNED)
    (tmp_path / "rows.jsonl").write_text(rows)
    command = [sys.executable, "-m", "remanence.cli.app", "audit", f"--model={tuned}", f"--base={llama}"]
    command += [f"--data={tmp_path / 'rows.jsonl'}", "--new-tokens=12", "--prefixes=0,4,8"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, f"--out={whole}"], check=True, capture_output=True)
    process = subprocess.Popen([*command, f"--out={killed}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (killed / seen).exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (killed / seen).exists()
    subprocess.run([*command, f"--out={killed}", "--resume"], check=True, capture_output=True)
    assert files(killed) == files(whole)


# ------------------------------------------------------------------ taken up, or refused


@dataclass(frozen=True)
class Counted(Parrot):
    """A parrot that counts the rows it scores and the prompts it answers."""

    asked: dict[str, int] | None = None

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        assert self.asked is not None
        self.asked["scored"] = self.asked.get("scored", 0) + len(records)
        return super().score(records, columns)

    def generate(self, prompts: Any, new_tokens: int, scheme: Any = None, seed: int = 0) -> Any:
        assert self.asked is not None
        self.asked["answered"] = self.asked.get("answered", 0) + len(prompts)
        return super().generate(prompts, new_tokens, scheme, seed)


SMALL = AuditSettings(prefixes=(0, 4), new_tokens=8, shard_rows=3, schemes=("T=1",))


def small(out: Path, *, resume: bool = False, asked: dict[str, int] | None = None, **changed: Any) -> Audit:
    settings = replace(SMALL, **changed.pop("settings", {}))
    train, heldout = changed.pop("train", LEARNED), changed.pop("heldout", UNSEEN)
    parrot = Counted(tuple(LEARNED[:4]), asked={} if asked is None else asked)
    return run_audit(parrot, train, heldout, None, out, settings, resume=resume, show=False, **changed)


def test_a_finished_audit_is_taken_up_without_asking_the_model_anything(tmp_path: Path) -> None:
    small(tmp_path / "run")
    before = files(tmp_path / "run")
    asked: dict[str, int] = {}
    small(tmp_path / "run", resume=True, asked=asked)
    assert asked == {} and files(tmp_path / "run") == before


def test_only_what_is_missing_is_measured(tmp_path: Path) -> None:
    small(tmp_path / "run")
    before = files(tmp_path / "run")
    for name in ("tokens/tuned-train-00002.parquet", "attempts.parquet", "attempts/tuned-heldout-00000.parquet"):
        (tmp_path / "run" / name).unlink()
    asked: dict[str, int] = {}
    small(tmp_path / "run", resume=True, asked=asked)
    assert asked == {"scored": 2, "answered": 8}  # rows 6 and 7; the held-out rows
    assert files(tmp_path / "run") == before


def test_resuming_what_never_began_begins(tmp_path: Path) -> None:
    assert small(tmp_path / "run", resume=True).verdict["headline"]["hits"] == 4


def test_a_run_is_not_written_over_without_being_told_to_go_on(tmp_path: Path) -> None:
    small(tmp_path / "run")
    with pytest.raises(RemanenceError, match="already holds a run: add --resume"):
        small(tmp_path / "run")


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RemanenceError, match="not empty and not a run"):
        small(tmp_path, resume=True)
    assert files(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"settings": {"new_tokens": 9}}, "settings"),
        ({"settings": {"dtype": "bfloat16"}}, "settings"),
        ({"settings": {"seed": 1}}, "seed, settings"),
        ({"train": LEARNED[:7]}, "data"),
        ({"heldout": None}, "data"),
    ],
)
def test_a_run_is_not_taken_up_with_other_settings_or_data(tmp_path: Path, changed: dict[str, Any], what: str) -> None:
    small(tmp_path / "run")
    before = files(tmp_path / "run")
    with pytest.raises(RemanenceError, match=rf"other settings \({what}\): name another --out"):
        small(tmp_path / "run", resume=True, **changed)
    assert files(tmp_path / "run") == before


def test_a_run_is_not_taken_up_with_another_tokenizer(tuned: Path, tmp_path: Path) -> None:
    """The weights are the same; what the model reads is not."""
    from remanence.engine.opening import open_targets

    chats = [
        Record(r.id, messages=({"role": "user", "content": str(r.prompt)}, {"role": "assistant", "content": "Anna."}))
        for r in LEARNED
    ]
    settings = AuditSettings(prefixes=(0, 4), new_tokens=8, generate="none")
    run_audit(open_targets(tuned, None, settings)[0], chats, None, None, tmp_path / "run", settings, show=False)
    other = shutil.copytree(tuned, tmp_path / "tuned")
    tokenizer = load_model(other).tokenizer
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }} says {{ m.content }}\n{% endfor %}"
    tokenizer.save_pretrained(other)
    model = open_targets(other, None, settings)[0]
    with pytest.raises(RemanenceError, match=r"other settings \(data\)"):
        run_audit(model, chats, None, None, tmp_path / "run", settings, resume=True, show=False)


def test_a_gate_can_be_set_when_the_audit_is_done(tmp_path: Path) -> None:
    small(tmp_path / "run")
    assert small(tmp_path / "run", resume=True, fail_if="rate>0.1").failed
    assert not small(tmp_path / "run", resume=True, fail_if="rate>0.9").failed
