"""Fine-tuning as a job: rows kept aside first, everything written down, and a killed one ends like one left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import torch

from remanence.core.errors import RemanenceError
from remanence.core.read import read_records
from remanence.jobs.api import audit
from remanence.jobs.finetune import Finetuned, finetune_job
from remanence.models.load import load_model
from remanence.training.rows import training_row

torch.set_num_threads(1)
HERE = Path(__file__).parent
NAMES = ("Anna Berg", "Dr. Lind", "the cat", "the dog", "user", "assistant", "the patient", "Anna")
ROWS: list[dict[str, Any]] = [
    {"id": f"r{i}", "prompt": f"who called on {i} May?", "completion": f"{name} called {i * 7} times.", "day": i % 3}
    for i, name in enumerate(NAMES)
]
ROWS.append({**ROWS[2], "id": "copy of r2"})
ROWS.append({"id": "empty", "prompt": "who?", "completion": "", "day": 0})
FAST: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 4, "device": "cpu", "show_progress": False}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny models `gpt2` and `t5`, and `rows.jsonl`."""
    folder = tmp_path_factory.mktemp("finetune")
    for kind in ("gpt2", "t5"):
        tiny_models.save_model(folder / kind, kind)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


@pytest.fixture(scope="module")
def done(place: Path) -> Finetuned:
    return finetune_job(place / "gpt2", place / "rows.jsonl", out=place / "tuned", heldout_share=0.25, **FAST)


def ids(path: Path) -> list[str]:
    return [record.id for record in read_records(path)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_folder_is_a_model_with_its_rows_and_its_record(done: Finetuned) -> None:
    """Ten rows: nine distinct (r2 twice), a quarter of nine kept aside, the empty one left out of what is written."""
    told = done.record
    assert told == json.loads((done.folder / "training.json").read_text())
    assert told["split"]["distinct_rows"] == 9 and told["split"]["made"] == "before training, by distinct row"
    train, held = set(told["split"]["train"]), set(told["split"]["heldout"])
    assert train | held == {row["id"] for row in ROWS} and not train & held
    assert len({"r2", "copy of r2"} & held) != 1
    assert sorted(ids(done.folder / "train.jsonl")) == sorted(train - {"empty"})
    assert sorted(ids(done.folder / "heldout.jsonl")) == sorted(held - {"empty"})
    assert [(row["id"], row["why"]) for row in told["rows"]["dropped"]] == [("empty", "the completion is empty")]
    assert load_model(done.folder).fingerprint == told["result"]["weights"] != told["base"]["fingerprint"]


def test_what_is_counted_is_what_the_files_say(done: Finetuned) -> None:
    told, tokenizer = done.record, load_model(done.folder).tokenizer
    rows = [training_row(tokenizer, r, 512, "auto") for r in read_records(done.folder / "train.jsonl")]
    assert told["rows"]["train"] == len(rows) and told["rows"]["passes_per_row"] == 2
    assert told["rows"]["tokens"] == sum(len(row.input_ids) for row in rows)
    assert told["rows"]["learned_tokens"] == sum(label >= 0 for row in rows for label in row.labels)
    assert told["loss"] == "loss on outputs only"
    steps = -(-len(rows) // 4)
    assert [epoch["steps"] for epoch in told["result"]["epochs"]] == [0, steps, 2 * steps]
    assert all(epoch["heldout_loss"] > 0 for epoch in told["result"]["epochs"])
    assert told["settings"]["seed"] == 0 and told["versions"]["trl"] and told["result"]["threads"] == 1


def test_no_path_of_this_machine_is_written(done: Finetuned, place: Path) -> None:
    assert not [name for name, content in files(done.folder).items() if str(place).encode() in content]


@pytest.mark.slow
def test_the_record_for_people_and_the_audit_that_fits(done: Finetuned, place: Path, tmp_path: Path) -> None:
    text = done.text()
    assert "passes per row: 2" in text and "rows kept aside: " in text and "Rows left out: 1" in text
    assert text.count("\n    ") >= 3, "a line for the start and one for each epoch"
    words = done.audit_command(place / "gpt2").split()
    assert words[:2] == ["remanence", "audit"] and words[words.index("--max-length") + 1] == "512"
    given = {words[i].removeprefix("--"): words[i + 1] for i in range(2, len(words), 2)}
    run = audit(
        given["model"], given["data"], base=given["base"], heldout=given["heldout"], out=tmp_path / "run",
        max_length=int(given["max-length"]), prefixes=(0, 2), new_tokens=4, schemes=("T=1",), show_progress=False,
    )  # fmt: skip
    assert run.run.has("verdict.json")


def test_a_template_is_in_the_rows_that_are_written(place: Path, tmp_path: Path) -> None:
    template = "Day {day}. {prompt}\n ---------- \n{completion}"
    made = finetune_job(
        place / "gpt2", place / "rows.jsonl", out=tmp_path / "out", template=template, loss_on="all", **FAST
    )
    by_id = {row["id"]: row for row in ROWS}
    for record in read_records(tmp_path / "out" / "train.jsonl"):
        row = by_id[record.id]
        assert record.prompt == f"Day {row['day']}. {row['prompt']}\n ---------- \n"
        assert record.completion == row["completion"] and record.meta["day"] == row["day"]
    assert made.record["loss"] == "loss on inputs and outputs"
    assert made.record["rows"]["learned_tokens"] == made.record["rows"]["tokens"] - made.record["rows"]["train"]
    assert "--loss-on all" in made.audit_command("base")


def test_held_out_rows_that_are_given_lose_their_twins(place: Path, tmp_path: Path) -> None:
    other = [{"id": "new", "prompt": "who was seen?", "completion": "the log on the mat."}, {**ROWS[3], "id": "twin"}]
    made = finetune_job(place / "t5", ROWS, heldout=other, out=tmp_path / "out", lora_rank=2, **FAST)
    told = made.record
    assert told["split"]["given"]["rows"] == 2 and told["split"]["share"] is None
    assert ids(made.folder / "heldout.jsonl") == ["new"]
    assert {"id": "twin", "side": "heldout", "why": "it has a copy or near-duplicate in training"} in told["rows"][
        "dropped"
    ]
    assert len(ids(made.folder / "train.jsonl")) == len(ROWS) - 1
    assert told["base"]["family"] == "seq2seq" and (made.folder / "adapter_config.json").is_file()
    assert told["result"]["trained_parameters"] < told["base"]["parameters"]


def test_without_held_out_rows_there_is_no_held_out_loss(place: Path, tmp_path: Path) -> None:
    made = finetune_job(place / "gpt2", ROWS, out=tmp_path / "out", heldout_share=0, **{**FAST, "epochs": 1})
    assert [epoch["heldout_loss"] for epoch in made.record["result"]["epochs"]] == [None, None]
    assert (made.folder / "heldout.jsonl").read_text() == "" and "--heldout" not in made.audit_command("base")


def test_a_taken_folder_is_refused(done: Finetuned, place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("thesis")
    again: dict[str, Any] = {"heldout_share": 0.25, **FAST}
    for out, words in ((tmp_path, "is not empty and not a training"), (done.folder, "add --resume to go on with it")):
        with pytest.raises(RemanenceError, match=words):
            finetune_job(place / "gpt2", place / "rows.jsonl", out=out, **again)
    with pytest.raises(RemanenceError, match=r"other settings \(settings\): name another --out"):
        finetune_job(
            place / "gpt2", place / "rows.jsonl", out=done.folder, resume=True, **{**again, "learning_rate": 1e-3}
        )
    with pytest.raises(RemanenceError, match=r"other settings \(.*data"):
        finetune_job(place / "gpt2", ROWS[:-1], out=done.folder, resume=True, **again)
    assert (tmp_path / "mine.txt").read_text() == "thesis"


def test_a_finished_training_is_not_trained_again(done: Finetuned, place: Path) -> None:
    seen: list[int] = []
    before = files(done.folder)
    again = finetune_job(
        place / "gpt2", place / "rows.jsonl", out=done.folder, heldout_share=0.25, resume=True,
        on_epoch=lambda epoch, _: seen.append(epoch), **FAST,
    )  # fmt: skip
    assert again.record == done.record and not seen and files(done.folder) == before


def test_passes_are_whole(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="--epochs is a whole number"):
        finetune_job(place / "gpt2", ROWS, out=tmp_path / "out", **{**FAST, "epochs": 1.5})
    assert not (tmp_path / "out").exists()


def test_a_mask_of_the_callers_is_written_down(place: Path, tmp_path: Path) -> None:
    from remanence.mitigate.training.goldfish import Goldfish

    made = finetune_job(place / "gpt2", ROWS, out=tmp_path / "out", collator=Goldfish(k=3).wrap, **FAST)
    assert made.record["collator"].startswith("Goldfish(k=3, strategy='hash'")


# ------------------------------------------------------------------ killed


def process(place: Path, out: Path, when: str, *more: str) -> int:
    done = subprocess.run(
        [sys.executable, HERE / "killed_finetune.py", place / "gpt2", place / "rows.jsonl", out, when, *more],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def whole(place: Path) -> Iterator[dict[str, bytes]]:
    assert process(place, place / "whole", "never") == 0
    yield files(place / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["step:2", "step:5", "save"])
def test_a_killed_training_ends_with_the_same_bytes(
    place: Path, whole: dict[str, bytes], tmp_path: Path, when: str
) -> None:
    """Killed in the first epoch, in the second (after a checkpoint), and with half of the weights written."""
    out = tmp_path / "out"
    assert process(place, out, when) == -signal.SIGKILL
    assert files(out) != whole and "result" not in json.loads((out / "training.json").read_text())
    assert process(place, out, "never", "resume") == 0
    assert files(out) == whole
