"""The audit on real (tiny) models that learned eight rows by heart: whole models, adapters, seq2seq, chats, texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import memorizers
import pytest
import tiny_models
from memorizers import LEARNED, UNSEEN

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.engine.opening import open_targets
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.settings import AuditSettings

GRID: dict[str, Any] = {"prefixes": (0, 4, 8), "new_tokens": 12}


def audit(
    model: Path, base: Path | None, train: Sequence[Record], heldout: Sequence[Record], out: Path, **settings: Any
) -> Audit:
    chosen = AuditSettings(**{**GRID, **settings})
    tuned, below = open_targets(model, base, chosen)
    return run_audit(tuned, train, heldout, below, out / "run", chosen, show=False)


def texts(records: Sequence[Record]) -> list[Record]:
    return [Record(r.id, text=f"{r.prompt}{r.completion}") for r in records]


def chats(records: Sequence[Record]) -> list[Record]:
    return [
        Record(
            r.id,
            messages=(
                {"role": "user", "content": str(r.prompt)},
                {"role": "assistant", "content": str(r.completion).strip()},
            ),
        )
        for r in records
    ]


def counts(found: Audit) -> tuple[int, int, int, int]:
    """(training rows that come back, measured, from the base model, held-out rows that come back)"""
    line = found.verdict["headline"]
    return line["hits"], line["n"], line["base"]["hits"], line["floor"]["hits"]


def verdicts(found: Audit) -> dict[str, Any]:
    """What is decided about each row, without the likelihoods behind it."""
    return {r["id"]: (r["comes_back"], r["shortest_prefix"], r["longest_run"]) for r in found.run.lines("ranking")}


def every_table_hit_was_said(found: Audit) -> bool:
    """Greedy decoding really said what the token table decided without decoding."""
    told = [a for a in found.run.lines("attempts") if a["target"] == "tuned"]
    return bool(told) and all(a["exact"] == (a["why"] == "table") and a["recheck"] is None for a in told)


@pytest.fixture(scope="module")
def plain(tuned: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """The reference: float32, everything in one batch."""
    return audit(tuned, llama, LEARNED, UNSEEN, tmp_path_factory.mktemp("plain"))


def test_rows_learned_by_heart_come_back_and_others_do_not(plain: Audit) -> None:
    assert counts(plain) == (8, 8, 0, 0)
    assert every_table_hit_was_said(plain)
    assert plain.verdict["headline"]["auc"] == 1.0


def test_half_a_memory_is_half_a_rate(tuned: Path, llama: Path, tmp_path: Path) -> None:
    """Rows that were never trained on are among the training data: they do not come back, and are ranked last."""
    found = audit(tuned, llama, [*UNSEEN[:4], *LEARNED[:4]], UNSEEN[4:], tmp_path)
    assert counts(found)[:2] == (4, 8)
    assert [r["id"] for r in found.run.lines("ranking")[4:]] == sorted(
        (r.id for r in UNSEEN[:4]), key=lambda i: [r["id"] for r in found.run.lines("ranking")].index(i)
    )
    assert {r["id"] for r in found.run.lines("ranking")[:4]} == {r.id for r in LEARNED[:4]}


@pytest.mark.parametrize("batch_tokens", [1, 128])
def test_the_batch_size_changes_no_verdict(
    plain: Audit, tuned: Path, llama: Path, tmp_path: Path, batch_tokens: int
) -> None:
    found = audit(tuned, llama, LEARNED, UNSEEN, tmp_path, batch_tokens=batch_tokens)
    assert verdicts(found) == verdicts(plain)
    assert every_table_hit_was_said(found)


def test_bfloat16_decides_as_float32_does(plain: Audit, tuned: Path, llama: Path, tmp_path: Path) -> None:
    """Coarse arithmetic moves likelihoods; a greedy verdict that hangs on it is repeated in float32, and counted."""
    found = audit(tuned, llama, LEARNED, UNSEEN, tmp_path, dtype="bfloat16")
    assert {i: v[:2] for i, v in verdicts(found).items()} == {i: v[:2] for i, v in verdicts(plain).items()}
    tables = {role: next(found.run.shards(f"tokens/{role}-heldout")).to_pylist() for role in ("tuned", "base")}
    rechecks = Counter(line["recheck"] for lines in tables.values() for line in lines)
    assert rechecks["agrees"] + rechecks["overturned"] > 0  # a random model's logits lie close together
    fine = next(plain.run.shards("tokens/tuned-train")).to_pylist()
    coarse = next(found.run.shards("tokens/tuned-train")).to_pylist()
    moved = [a["id"] for a, b in zip(fine, coarse, strict=True) if a["logprob"] != b["logprob"]]
    assert moved == [line["id"] for line in coarse if line["recheck"] is None] != []


def test_an_adapter_is_held_against_the_base_model_that_its_config_names(llama: Path, tmp_path: Path) -> None:
    adapter = memorizers.overfit(llama, tmp_path / "adapter", LEARNED, steps=120, adapter=True)
    assert (adapter / "adapter_model.safetensors").is_file() and not (adapter / "model.safetensors").exists()
    found = audit(adapter, None, LEARNED, UNSEEN, tmp_path)
    assert counts(found) == (8, 8, 0, 0)
    assert found.run.spec["models"]["base"]["name"] == llama.name
    assert str(llama.parent) not in (found.run.folder / "run.json").read_text()


@pytest.mark.parametrize("kind", ["t5", pytest.param("bart", marks=pytest.mark.slow)])
def test_an_encoder_decoder_is_audited_on_its_targets(kind: str, tmp_path: Path) -> None:
    base = tiny_models.save_model(tmp_path / kind, kind)
    found = audit(memorizers.overfit(base, tmp_path / "tuned", LEARNED, steps=100), base, LEARNED, UNSEEN, tmp_path)
    assert counts(found)[:3] == (8, 8, 0)
    assert counts(found)[3] <= 1  # so small a model may guess an unseen row: that is what the floor is there to show
    assert every_table_hit_was_said(found)
    first = next(a for a in found.run.lines("attempts") if a["id"] == "learned-0")
    assert first["prompt"] == LEARNED[0].prompt  # the source is what the model was given
    if first["prefix_tokens"] == 0:
        assert str(LEARNED[0].completion).startswith(first["expected"])


@pytest.mark.parametrize("loss_on", ["auto", "assistant"])
def test_chats_are_rendered_by_the_template_of_the_tokenizer(llama: Path, tmp_path: Path, loss_on: str) -> None:
    learned, unseen = chats(LEARNED), chats(UNSEEN)
    tuned = memorizers.overfit(llama, tmp_path / "tuned", learned, loss_on=loss_on)
    found = audit(tuned, llama, learned, unseen, tmp_path, loss_on=loss_on)
    assert counts(found) == (8, 8, 0, 0)
    if loss_on == "assistant":  # the header and the question are always given
        shown = next(a for a in found.run.lines("attempts") if a["id"] == "learned-0")["prompt"]
        assert "who called 0 times?" in shown and "Anna" not in shown


def test_texts_are_learned_from_their_first_token_on(llama: Path, tmp_path: Path) -> None:
    learned, unseen = texts(LEARNED), texts(UNSEEN)
    tuned = memorizers.overfit(llama, tmp_path / "tuned", learned)
    found = audit(tuned, llama, learned, unseen, tmp_path)
    assert counts(found)[:3] == (8, 8, 0)
    rows = [r for r in found.run.lines("rows") if r["group"] == "train"]
    assert all(r["num_supervised"] == r["num_tokens"] - 1 for r in rows)  # nothing predicts the first token


def test_a_base_model_with_another_vocabulary_is_refused_in_one_sentence(tuned: Path, tmp_path: Path) -> None:
    other = tiny_models.make_tokenizer(["quite another corpus, zebra xylophone jazz quiz"] * 3, size=400)
    base = tiny_models.save_model(tmp_path / "other", "llama", tokenizer=other)
    with pytest.raises(
        RemanenceError, match=r"^The base model other has another vocabulary than tuned .*leave --base out"
    ):
        audit(tuned, base, LEARNED, UNSEEN, tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_row_longer_than_the_context_is_measured_up_to_where_training_cut_it(
    tuned: Path, llama: Path, tmp_path: Path
) -> None:
    long = Record("long", prompt="Question: who?", completion=" and then Anna Berg called" * 60)
    found = audit(tuned, llama, [*LEARNED, long], UNSEEN, tmp_path)
    row = next(r for r in found.run.lines("rows") if r["id"] == "long")
    assert row["num_tokens"] == 128 and row["num_truncated"] == row["num_supervised_truncated"] > 0
    assert row["reason"] is None and counts(found)[:2] == (8, 9)


def test_every_row_can_be_put_to_the_model_or_none(tuned: Path, llama: Path, tmp_path: Path) -> None:
    everything = audit(tuned, llama, LEARNED, UNSEEN, tmp_path / "all", generate="all", generate_rows=2)
    nothing = audit(tuned, llama, LEARNED, UNSEEN, tmp_path / "none", generate="none")
    some = audit(tuned, llama, LEARNED, UNSEEN, tmp_path / "some", generate_rows=2)
    assert [len(a.run.lines("attempts")) for a in (everything, nothing, some)] == [32, 0, 8]
    assert everything.verdict["headline"] == nothing.verdict["headline"] == some.verdict["headline"]
