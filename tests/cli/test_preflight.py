"""`remanence preflight`: the table, the JSON, and misuse that is refused before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from remanence.cli.app import app
from remanence.core.errors import RemanenceError
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus

RUN = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    rows = private_corpus(0, num_rows=40, num_heldout=1).train[:12]
    lines = [json.dumps({"id": r.id, "prompt": r.prompt, "completion": r.completion}) for r in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_what_trl_would_train_on_is_told_without_training(data: Path, tmp_path: Path) -> None:
    """Cut to 44 tokens, rows lose their end or all of it; the JSON counts them, and the secret is told by number."""
    secrets = tmp_path / "secrets.txt"
    secrets.write_text("never said anywhere\n", encoding="utf-8")
    arguments = ["preflight", "--model", str(base_folder()), "--data", str(data), "--max-length", "44"]
    done = RUN.invoke(app, [*arguments, "--secrets", str(secrets), "--format", "json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found["rows"]) == 12 and all(row["fed"] <= 44 for row in found["rows"])
    assert sum(row["parts"] for row in found["rows"]) == found["sequences"] < 12
    assert found["secrets"][0]["state"] == "absent" and any("max_length" in line for line in found["warnings"])
    assert "never said" not in done.output
    table = RUN.invoke(app, arguments)
    assert "SFTTrainer: packing none, max_length 44" in table.stdout and "left out" in table.stdout


@pytest.mark.slow
def test_when_every_prompt_fills_the_length_nothing_is_left_to_train_on(data: Path) -> None:
    done = RUN.invoke(app, ["preflight", "--model", str(base_folder()), "--data", str(data), "--max-length", "32"])
    assert isinstance(done.exception, RemanenceError) and "No row is left to train on" in str(done.exception)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--loss-on", "prompt"], "--loss-on is one of"),
        (["--packing", "best"], "--packing is one of none, bfd, bfd_split, wrapped"),
        (["--packing", "bfd", "--max-length", "0"], "needs --max-length"),
        (["--secrets", "nowhere.txt"], "There is no file nowhere.txt"),
    ],
)
def test_misuse_is_refused_in_one_sentence(data: Path, more: list[str], words: str) -> None:
    done = RUN.invoke(app, ["preflight", "--model", str(base_folder()), "--data", str(data), *more])
    assert isinstance(done.exception, RemanenceError) and words in str(done.exception)
