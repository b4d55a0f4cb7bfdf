"""`remanence finetune` on the command line: help at once, a sentence for each mistake, output for people and pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAST = ("--epochs=1", "--learning-rate=1e-3", "--heldout-share=0.25", "--device=cpu")


@pytest.fixture
def finetune(remanence: Any, place: Path, tmp_path: Path) -> Any:
    """`remanence finetune` of the tiny base model; options given replace the ones that are there."""

    def run(*options: str, **replaced: str | Path) -> Any:
        named: dict[str, Any] = {
            "model": place / "base", "data": place / "rows.jsonl", "out": tmp_path / "model", **replaced
        }  # fmt: skip
        return remanence("finetune", *(f"--{name}={value}" for name, value in named.items()), *FAST, *options)

    return run


def refused(said: Any, *words: str) -> None:
    """One sentence on stderr, nothing on stdout, exit code 2."""
    assert said.code == 2, said.err
    assert said.out == "" and "Traceback" not in said.err
    for word in words:
        assert word in said.sentence, said.err


def test_a_model_is_trained_and_the_audit_of_it_is_told(finetune: Any, place: Path, tmp_path: Path) -> None:
    said = finetune()
    assert said.code == 0, said.err
    assert "passes per row: 1" in said.out and "epoch   steps   train loss   held-out loss" in said.out
    assert f"to audit it: remanence audit --model {tmp_path / 'model'} --base {place / 'base'} --data" in said.err
    assert (tmp_path / "model" / "model.safetensors").is_file()
    refused(finetune(), "already holds a training: add --resume")
    assert finetune("--resume").code == 0


def test_json_is_for_pipes_and_a_template_may_have_new_lines(finetune: Any, tmp_path: Path) -> None:
    said = finetune("--format=json", "--template={prompt}\\n---\\n{completion}", "--loss-on=all")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["settings"]["template"] == "{prompt}\n---\n{completion}" and told["rows"]["passes_per_row"] == 1
    row = json.loads((tmp_path / "model" / "train.jsonl").read_text().splitlines()[0])
    assert row["prompt"].endswith("\n---\n")


def test_one_sentence_for_each_mistake(finetune: Any, place: Path, tmp_path: Path) -> None:
    refused(finetune(data=tmp_path / "nowhere.jsonl"), "There is no file", "nowhere.jsonl")
    refused(finetune(model=tmp_path / "nowhere"), "There is no model folder")
    refused(finetune("--packing=bfd"), "--packing bfd is TRL's: add --trainer trl")
    refused(finetune("--template={prompt}"), "must have {completion} in it, once")
    refused(finetune("--split-by=patient"), "has no column 'patient' to split by")
    refused(finetune("--epochs=0"), "--epochs must be above 0")
    refused(finetune("--max-length=1"), "raise max_length")
    refused(finetune(out=place), "is not empty and not a training")


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['remanence', 'finetune', '--help']\n"
        "from remanence.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules), 'too much was loaded'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}
    )
    assert done.returncode == 0, done.stderr
    assert "--heldout-share" in done.stdout
