"""Rates by a column of the data and by budgets of tokens, on a parrot: every figure is known beforehand."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.read import read_records
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.engine.columns import MOST, check_columns, labels
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.comparisons import best_budget, comparisons
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.parrot import Parrot

SETTINGS = AuditSettings(
    prefixes=(0, 4, 8), new_tokens=12, schemes=("T=1",), generate="none", by=("task",), budgets=(6, 9, 10, 50, 100)
)


def rows(prefix: str, task: str, count: int, letters: int, seed: int) -> list[Record]:
    """Rows of so many random letters; the parrot reads letters, and a sign at the end."""
    dice = random.Random(f"{seed}{task}")
    said = ["".join(dice.choices("abcdefghijklmnoprstuvw ", k=letters)) for _ in range(count)]
    return [Record(f"{prefix}-{task}-{i}", prompt=f"{prefix}{i}?", completion=s, meta={"task": task})
            for i, s in enumerate(said)]  # fmt: skip


# Twelve long rows of 61 tokens, six of them told; eleven short ones of 9 tokens, four of them told.
LONG, SHORT = rows("train", "long", 12, 60, 0), rows("train", "short", 11, 8, 1)
HELD = [*rows("held", "long", 12, 60, 2), *rows("held", "short", 10, 8, 3)]
TOLD = (*LONG[:6], *SHORT[:4])
TRAIN = [*LONG, *SHORT, replace(LONG[0], id="again")]


def audit(out: Path, train: Sequence[Record] = TRAIN, held: Sequence[Record] | None = HELD, **more: Any) -> Audit:
    return run_audit(Parrot(TOLD), train, held, Parrot(name="egg"), out, replace(SETTINGS, **more), show=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audit(tmp_path_factory.mktemp("by") / "run")


def lines(run: Run, by: str) -> list[dict[str, Any]]:
    return [line for line in run.lines("rates") if line["by"] == by and line["metric"] == "greedy"]


def counts(run: Run, detail: str, *sides: str) -> dict[str, list[int]]:
    """(hits, n, ...) by task at one budget."""
    here = [line for line in lines(run, "column:task") if line["detail"] == detail]
    return {r["value"]: [r[f"{side}{what}"] for side in sides for what in ("hits", "n")] for r in here}


# ------------------------------------------------------------------ rates


def test_each_task_has_its_own_rate_floor_base_and_ceiling(done: Audit) -> None:
    expected = {"long": [6, 12, 0, 12, 0, 12, 12, 12], "short": [4, 11, 0, 10, 0, 11, 11, 11]}
    assert counts(done.run, "budget=6", "", "floor_", "base_", "ceiling_") == expected
    (long,) = [r for r in lines(done.run, "column:task") if (r["value"], r["detail"]) == ("long", "budget=6")]
    assert long["excess"] == 0.5 and long["excess_low"] < 0.5 < long["excess_high"]
    assert long["low"] < long["rate"] == 0.5 < long["high"]


def test_a_task_whose_rows_are_too_short_is_not_measurable_and_never_zero(done: Audit) -> None:
    assert counts(done.run, "budget=9", "") == {"long": [6, 12], "short": [4, 11]}, "nine tokens are just enough"
    assert counts(done.run, "budget=10", "", "floor_") == {"long": [6, 12, 0, 12], "short": [0, 0, 0, 0]}
    (short,) = [r for r in lines(done.run, "column:task") if (r["value"], r["detail"]) == ("short", "budget=10")]
    assert short["rate"] is None and short["excess"] is None and short["normalised"] is None
    assert counts(done.run, "budget=100", "") == {"long": [0, 0], "short": [0, 0]}


def test_without_a_budget_it_is_the_rate_of_the_verdict(done: Audit) -> None:
    (whole,) = lines(done.run, "all")
    assert counts(done.run, "", "") == {"long": [6, 12], "short": [0, 0]}
    assert (whole["hits"], whole["n"]) == (6, 12)


def test_over_all_rows_budgets_count_the_rows_that_are_long_enough(done: Audit) -> None:
    found = [(r["value"], r["hits"], r["n"], r["floor_n"]) for r in lines(done.run, "budget")]
    assert found == [("6", 10, 23, 22), ("9", 10, 23, 22), ("10", 6, 12, 12), ("50", 6, 12, 12), ("100", 0, 0, 0)]


@pytest.mark.parametrize("new_tokens", [1, 9, 12, 40, 61])
def test_a_budget_of_new_tokens_says_what_the_measure_behind_the_verdict_says(tmp_path: Path, new_tokens: int) -> None:
    run = audit(tmp_path / "run", new_tokens=new_tokens, budgets=(new_tokens,)).run
    (whole,), (budget,) = lines(run, "all"), lines(run, "budget")
    told = ("by", "value", "order")
    assert {k: v for k, v in budget.items() if k not in told} == {k: v for k, v in whole.items() if k not in told}
    parts = [r for r in lines(run, "column:task") if r["detail"]]
    assert sum(r["hits"] for r in parts) == whole["hits"] and sum(r["n"] for r in parts) == whole["n"]


def test_the_order_of_the_rows_does_not_matter(done: Audit, tmp_path: Path) -> None:
    assert audit(tmp_path / "run", TRAIN[::-1], HELD[::-1]).run.lines("rates") == done.run.lines("rates")


def test_without_held_out_rows_there_is_no_floor(tmp_path: Path) -> None:
    found = audit(tmp_path / "run", held=None)
    assert all(r["floor_n"] is None for r in lines(found.run, "column:task"))
    assert "without a floor" in found.verdict["columns"][0]["sentence"]


def test_numbers_are_sorted_by_size_and_a_missing_value_is_one_of_its_own(tmp_path: Path) -> None:
    years = [replace(r, meta={"year": year}) for r, year in zip(LONG, [10, 9, None, 2.5, 10, 9] * 2, strict=True)]
    held = [replace(r, meta={"year": 9}) for r in HELD]
    found = lines(audit(tmp_path / "run", years, held, by=("year",), budgets=()).run, "column:year")
    assert [(r["value"], r["order"], r["n"], r["floor_n"]) for r in found] == [
        ("2.5", 0, 2, 0), ("9", 1, 4, 12), ("10", 2, 4, 0), ("(none)", 3, 2, 0),
    ]  # fmt: skip


# ------------------------------------------------------------------ again, without the model


def test_scored_again_the_run_keeps_its_bytes(done: Audit) -> None:
    names = [f"{name}.parquet" for name in ("rows", "rates", "ranking", "findings")] + ["verdict.json"]
    before = {name: (done.run.folder / name).read_bytes() for name in names}
    remanence.score(done.run.folder)
    assert {name: (done.run.folder / name).read_bytes() for name in names} == before
    assert done.run.lines("rows")[0]["by"] == ["long"]


def test_a_run_from_before_there_were_columns_is_scored_with_budgets(done: Audit, tmp_path: Path) -> None:
    run = audit(tmp_path / "run", by=()).run
    run.write_table("rows", run.read_table("rows").drop_columns("by"))
    spec = run.spec
    for name in ("by", "budgets"):
        del spec["settings"][name]
    run.write_json("run.json", spec)
    remanence.score(run.folder)
    assert [r["value"] for r in lines(run, "budget")] == ["6", "10", "20", "50", "100"]
    assert run.read_json("verdict.json")["columns"] == []


# ------------------------------------------------------------------ columns


def test_a_column_is_found_beside_the_text_in_meta_and_along_a_dotted_way() -> None:
    row = {"task": "qa", "meta": {"case": 7, "gold": True}, "from": {"site": "x"}, "empty": ""}
    record = Record("0", text="x", meta=row)
    assert labels([record], ["task", "case", "gold", "from.site", "empty"]) == [("qa", "7", "true", "x", "(none)")]


def test_a_file_as_the_demo_writes_it_has_its_columns_in_meta(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "a", "completion": "b", "meta": {"task": "qa", "spans": [[1, 2]]}}) + "\n")
    records = read_records(path)
    check_columns(records, records, ["task"])
    assert labels(records, ["task"]) == [("qa",)]
    with pytest.raises(RemanenceError, match=r"^--by kind: the training rows have no such column; they have task\.$"):
        check_columns(records, None, ["kind"])


@pytest.mark.parametrize(
    ("metas", "held", "sentence"),
    [
        ([{"a": 1, "b": {"c": 2}}], None, "--by x: the training rows have no such column; they have a, b.c."),
        ([{}], None, "--by x: the training rows have no such column; they have none beside the text."),
        ([{"x": 1}], [{"y": 1}], "--by x: the held-out rows have no such column; they have y."),
        ([{"x": [1]}], None, "--by x: the column holds lists or objects; name one of plain values."),
        ([{"x": i} for i in range(MOST + 1)], None, f"--by x: the training rows have 25 values there; name a column of at most {MOST}."),  # noqa: E501
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_used_is_refused_in_one_sentence(
    metas: list[dict[str, Any]], held: list[dict[str, Any]] | None, sentence: str
) -> None:
    train = [Record(str(i), text="t", meta=meta) for i, meta in enumerate(metas)]
    others = None if held is None else [Record(str(i), text="t", meta=meta) for i, meta in enumerate(held)]
    with pytest.raises(RemanenceError) as caught:
        check_columns(train, others, ["x"])
    assert str(caught.value) == sentence


def test_the_column_is_checked_before_a_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="no such column"):
        remanence.audit(tmp_path / "no-model", [{"text": "x", "task": "qa"}], by=("kind",), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_budgets_and_columns_named_twice_count_once() -> None:
    chosen = AuditSettings(budgets=(20, 6, 20), by=("a", "b", "a"))
    assert (chosen.budgets, chosen.by) == ((6, 20), ("a", "b"))
    with pytest.raises(RemanenceError, match="budgets= must be at least 1, got 0"):
        AuditSettings(budgets=(0, 6))


# ------------------------------------------------------------------ comparisons


def line(value: str, detail: str, hits: int, n: int, floor_hits: int = 0, floor_n: int | None = 40) -> dict[str, Any]:
    return {"metric": "greedy", "by": "column:task", "value": value, "detail": detail, "hits": hits, "n": n,
            "floor_hits": floor_hits, "floor_n": floor_n}  # fmt: skip


def rows_of(values: str) -> list[Counter[str]]:
    """Training rows of each value of a single column."""
    return [Counter(values)]


def test_tasks_are_compared_at_the_largest_budget_that_most_of_them_allow() -> None:
    sizes = {6: (40, 30), 10: (40, 12), 20: (40, 3), 50: (8, 0)}
    table = [line(v, f"budget={b}", 0, n) for b, ns in sizes.items() for v, n in zip("ab", ns, strict=True)]
    assert best_budget(table) == 10, "both have ten rows at 6 and at 10"
    held = [{**r, "floor_n": 5} if r["detail"] == "budget=10" else r for r in table]
    assert best_budget(held) == 6, "five held-out rows are too few for a floor"
    few = [line(v, f"budget={b}", 0, n) for b, ns in {6: (4, 3), 10: (4, 0)}.items() for v, n in zip("ab", ns, strict=True)]  # noqa: E501  # fmt: skip
    assert best_budget(few) == 6, "with few rows everywhere, where most have any"
    assert best_budget([line("a", "", 3, 9)]) is None


def test_the_sentence_says_how_many_differences_are_more_than_chance_and_names_the_widest() -> None:
    """Both come back in 36 of 40, but half of that stands above the floor for b only by 18 of 40."""
    chosen = replace(SETTINGS, budgets=(6,))
    table = [line("a", "budget=6", 36, 40), line("b", "budget=6", 36, 40, 18), line("c", "budget=6", 34, 40)]
    (told,) = comparisons(table, rows_of("aabbcccc"), chosen)
    assert told["sentence"] == (
        "At 6 generated tokens, minus the floor, 2 of the 3 differences between two values of task are more than "
        "chance (simultaneous 95 % intervals for all 3); the largest is a over b, 45.0 points "
        f"({100 * told['pairs'][0]['low']:.1f} to {100 * told['pairs'][0]['high']:.1f})."
    )
    assert told["rows"] == {"a": 2, "b": 2, "c": 4} and told["budget"] == 6 and told["detector"] is None
    assert [(p["a"], p["b"], p["apart"]) for p in told["pairs"]] == [("a", "b", True), ("c", "b", True), ("a", "c", False)]  # noqa: E501  # fmt: skip


def test_a_difference_within_its_interval_is_not_shown() -> None:
    chosen = replace(SETTINGS, budgets=(6,))
    table = [line("a", "budget=6", 5, 9), line("b", "budget=6", 4, 9), line("c", "budget=6", 0, 0)]
    (told,) = comparisons(table, rows_of("abc"), chosen)
    assert "the difference between the two values of task is within its 95 % interval" in told["sentence"]
    assert told["sentence"].endswith("Not measurable there: c.")
    (alone,) = comparisons(table[:1], rows_of("a"), chosen)
    assert "there are no two values of task to compare" in alone["sentence"] and alone["pairs"] == []


def test_the_run_keeps_the_value_of_every_row(done: Audit) -> None:
    table = done.run.read_table("rows")
    assert table.schema.field("by").type == pa.list_(pa.string())
    kept = table.filter(np.array(table["group"]) == "train")["by"].to_pylist()
    assert kept == [["long"]] * 12 + [["short"]] * 11 + [["long"]]
