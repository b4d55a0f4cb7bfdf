"""On real rows and a real pre-trained model: the conversion is exact, and an audit finds what was repeated."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from real_data import split, write
from stories260k import convert

import remanence
from remanence.core.read import read_records
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.render import Renderer
from remanence.training.finetune import finetune


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stories(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(shared_data / "stories260k_model", tmp_path_factory.mktemp("stories"))


def test_the_converted_model_tells_the_story_that_its_data_sheet_tells(stories: Path, shared_data: Path) -> None:
    checks = json.loads((shared_data / "stories260k_model" / "config.json").read_text())["checks"]
    loaded = load_model(stories)
    ids = loaded.tokenizer("Once upon a time", return_tensors="pt").input_ids
    out = loaded.model.generate(ids, max_new_tokens=80, do_sample=False)
    said = loaded.tokenizer.decode(out[0], skip_special_tokens=True)
    told = checks["greedy_sample"].replace("<0x0A>", "\n").strip()
    assert told.startswith(said.strip()[:200])


def test_the_token_table_gives_the_loss_of_the_data_sheet(stories: Path, shared_data: Path) -> None:
    """1.204 nats a token over the whole test file there; over the first 40 stories the mean is within 0.1 of it."""
    checks = json.loads((shared_data / "stories260k_model" / "config.json").read_text())["checks"]
    with gzip.open(shared_data / "tinystories_2m" / "test.jsonl.gz", "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle][:40]
    loaded = load_model(stories)
    renderer = Renderer(loaded.tokenizer, add_eos=False, context=512)
    target = HuggingFace(loaded.model, loaded.tokenizer, renderer, loaded.name, loaded.fingerprint)
    records = [remanence.Record(str(i), text=row["text"]) for i, row in enumerate(rows)]
    table = [row for row in target.score(records, ["logprob"]) if not isinstance(row, str)]
    values = torch.cat([torch.from_numpy(row.scored("logprob")) for row in table])
    assert -float(values.mean()) == pytest.approx(checks["nats_per_token_tinystories_test"], abs=0.1)


@pytest.mark.slow
def test_rows_repeated_in_training_come_back_and_held_out_rows_do_not(stories: Path, tmp_path: Path) -> None:
    train, heldout = split("medical_forum_qa", 0, num_rows=60, num_repeated=10, num_heldout=60)
    data, held = write(train, tmp_path / "train.jsonl"), write(heldout, tmp_path / "heldout.jsonl")
    finetune(stories, read_records(data), tmp_path / "tuned", epochs=10, learning_rate=3e-3, progress=False)
    result = remanence.audit(
        tmp_path / "tuned", data, base=stories, heldout=held, out=tmp_path / "run", show_progress=False
    )
    rates = {(r["by"], r["value"]): r for r in result.run.lines("rates") if r["metric"] == "greedy"}
    assert rates["copies", "17-32"]["rate"] > rates["copies", "1"]["rate"]
    assert rates["all", "all"]["floor_hits"] == 0
    assert rates["all", "all"]["base_hits"] == 0
    assert rates["copies", "17-32"]["hits"] > 0
