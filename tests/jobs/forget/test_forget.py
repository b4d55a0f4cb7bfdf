"""The whole way on tiny models: rows known by heart go, the rest stays, and what was given is not touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import memorizers
import small
import tiny_models

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.run import Run

pytestmark = pytest.mark.slow


def files(folder: Path) -> dict[str, bytes]:
    """All files but the seconds that things took."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "seconds" not in p.name and p.name != "report.html"
    }


@pytest.fixture(scope="module")
def done(tuned: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    out = tmp_path_factory.mktemp("forget") / "run"
    return small.forget(tuned, llama, out), out


def test_the_rows_go_and_the_model_given_stays(
    done: tuple[Any, Path], tuned: Path, llama: Path, tmp_path: Path
) -> None:
    result, out = done
    scores = {(s["model"], s["side"], s["metric"]): s for s in Run.open(out).lines("scores")}
    before = scores["before", "forget", "discoverable"]
    assert (before["hits"], before["n"]) == (3, 3)
    best = result.verdict["recommended"]["method"]
    after = scores[best, "forget", "discoverable"]
    assert after["hits"] < 3
    audited = remanence.audit(
        result.model, memorizers.LEARNED, heldout=small.HELDOUT, base=llama, out=tmp_path / "audit", prefixes=(0, 4),
        new_tokens=8, show_progress=False, budgets=(),
    )  # fmt: skip
    again = {r["id"]: r["comes_back"] for r in audited.run.lines("ranking")}
    assert sum(again[id] for id in small.GONE) == after["hits"]
    states = [s for s in Run.open(out).lines("row_states") if s["model"] == best and s["side"] != "heldout"]
    assert {s["id"]: s["comes_back"] for s in states} == again
    assert (tuned / "model.safetensors").read_bytes() != (result.model / "model.safetensors").read_bytes()


def test_every_table_speaks_of_the_same_states(done: tuple[Any, Path]) -> None:
    _, out = done
    run = Run.open(out)
    points, scores = run.lines("points"), run.lines("scores")
    chosen = {p["method"]: p for p in points if p["chosen"]}
    assert set(chosen) == {"before", "gradient_difference", "task_vector"} == {s["model"] for s in scores}
    for s in scores:
        if s["metric"] == "discoverable" and s["side"] == "forget":
            assert s["hits"] == chosen[s["model"]]["forget_hits"]
    walked = [p for p in points if p["method"] == "gradient_difference"]
    assert [p["strength"] for p in walked] == sorted(p["strength"] for p in walked) and walked[0]["strength"] == 0
    assert walked[0]["loss_rise"] == 0 and walked[-1]["why"] and sum(p["chosen"] for p in walked) == 1
    assert all(not p["chosen"] or p["within"] for p in points)
    for s in scores:
        if s["metric"] in {"privleak", "forget_quality"}:
            assert s["value"] is None and "--retrain" in s["note"]
    assert "training text" not in (out / "report.html").read_text()


def test_no_word_of_a_row_and_no_path_stands_where_it_must_not(done: tuple[Any, Path], tuned: Path) -> None:
    _, out = done
    page = (out / "report.html").read_text()
    assert "Anna Berg came on" not in page
    for name in ("run.json", "verdict.json"):
        assert str(tuned.parent) not in (out / name).read_text()


@pytest.mark.parametrize(
    "place",
    [
        "paths/gradient_difference-0",
        pytest.param("finals/before-scores", marks=pytest.mark.nightly),
        pytest.param("points", marks=pytest.mark.nightly),
    ],
)
def test_a_killed_run_ends_with_the_same_bytes(
    done: tuple[Any, Path], tuned: Path, llama: Path, tmp_path: Path, place: str
) -> None:
    command = [sys.executable, str(Path(small.__file__)), str(tuned), str(llama), str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(tiny_models.__file__).parent)}
    killed = subprocess.run([*command, place], env=environment, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    again = subprocess.run([*command, "never", "resume"], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert files(tmp_path / "run") == files(done[1])


def test_an_adapter_comes_back_as_an_adapter_or_merged(llama: Path, tmp_path: Path) -> None:
    adapter = memorizers.overfit(llama, tmp_path / "adapter", memorizers.LEARNED, adapter=True)
    settings: Any = {"methods": ("npo",), "learning_rates": (5e-3,), "max_loss_increase": 0.5}
    result = small.forget(adapter, None, tmp_path / "run", **settings)
    assert result.model is not None and (result.model / "adapter_config.json").is_file()
    assert not (result.model / "model.safetensors").exists()
    merged = small.forget(
        adapter, None, tmp_path / "merged", methods=("npo",), learning_rates=(5e-3,), max_loss_increase=0.5, merge=True
    )
    assert merged.model is not None and (merged.model / "model.safetensors").is_file()
    assert not (merged.model / "adapter_config.json").exists()


def test_an_encoder_decoder_forgets_too(tmp_path: Path) -> None:
    base = tiny_models.save_model(tmp_path / "t5", "t5", tokenizer=tiny_models.make_tokenizer())
    tuned = memorizers.overfit(base, tmp_path / "tuned", memorizers.LEARNED, steps=150)
    result = small.forget(tuned, base, tmp_path / "run", max_loss_increase=0.5)
    scores = {(s["model"], s["side"], s["metric"]): s for s in result.run.lines("scores")}
    assert scores["before", "forget", "discoverable"]["n"] == 3
    assert result.verdict["sentences"]


def test_retrained_beside_it_and_own_measures(tuned: Path, llama: Path, tmp_path: Path) -> None:
    recipe = {"epochs": 40, "learning_rate": 1e-2, "batch_size": 8, "max_length": None}
    result = small.forget(
        tuned, llama, tmp_path / "run", methods=("npo", "memfree", "goldfish", "dp_sgd"), retrain=True, recipe=recipe,
        evaluate={"always_seven": lambda target: 7.0},
    )  # fmt: skip
    scores = {(s["model"], s["side"], s["metric"]): s for s in result.run.lines("scores")}
    assert scores["npo", "heldout", "user:always_seven"]["value"] == 7.0
    assert scores["retrained", "forget", "privleak"]["value"] == 0.0
    assert scores["retrained", "forget", "forget_quality"]["value"] == 1.0
    assert scores["memfree", "forget", "discoverable"]["hits"] == scores["before", "forget", "discoverable"]["hits"]
    assert scores["memfree", "forget", "generated_exact"]["hits"] == 0
    private = next(point for point in result.run.lines("points") if point["method"] == "dp_sgd")
    assert private["why"].startswith("trained anew. The training is (8.00, "), "what the noise promises is told"
    json.dumps(result.verdict)


def test_a_replacement_reaches_the_method(tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user wants said in the place of a row is what constrained fine-tuning learns."""
    from dataclasses import replace

    from remanence.mitigate.weights.constrained import Constrained

    given: list[int] = []
    optimize = Constrained.optimize

    def watched(self: Any, model: Any, tokenizer: Any, *rest: Any, instead: Any = ()) -> None:
        given.extend(label for row in instead for label in row.labels if label >= 0)
        words = tokenizer.decode([label for label in instead[0].labels if label >= 0])
        assert words.startswith(" Kai Lund paid for a cold")
        optimize(self, model, tokenizer, *rest, instead=instead)

    monkeypatch.setattr(Constrained, "optimize", watched)
    other = " Kai Lund paid for a cold"
    train = [replace(r, meta={"replacement": other}) if r.id in small.GONE else r for r in memorizers.LEARNED]
    settings = small.TASTE | {"methods": ("constrained",), "learning_rates": (1e-3,)}
    remanence.forget(
        tuned, train, forget=small.GONE, heldout=small.HELDOUT, out=tmp_path / "run", show_progress=False, **settings
    )
    assert given


def test_what_cannot_be_had_is_refused_in_a_sentence(tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="Say what to forget"):
        remanence.forget(tuned, list(memorizers.LEARNED), out=tmp_path / "a")
    with pytest.raises(RemanenceError, match="Retraining without the rows needs the base model"):
        small.forget(tuned, None, tmp_path / "b", retrain=True)
    with pytest.raises(RemanenceError, match="There is no method"):
        small.forget(tuned, None, tmp_path / "c", methods=("amnesia",))
    with pytest.raises(RemanenceError, match=r"A recipe has the settings of remanence finetune, .*'epoch'"):
        small.forget(tuned, None, tmp_path / "d", recipe={"epoch": 3})
