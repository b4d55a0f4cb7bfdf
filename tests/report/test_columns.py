"""The section that compares the values of a column: the same numbers in the pictures, the tables and the sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from remanence.core.run import Run
from remanence.report.audit import Audit
from remanence.report.columns import columns
from remanence.report.html import write_report
from remanence.report.terminal import verdict_plain

from .fake_run import BUDGETS, TASKS, fake_run
from .page import Page


def values(spec: dict[str, Any]) -> list[Any]:
    """All points of a chart."""
    layers = [layer.get("data", spec.get("data"))["values"] for layer in spec["layer"]]
    return [point for layer in layers for point in layer]


def test_every_task_is_in_the_picture_with_its_floor_base_and_ceiling(run: Run) -> None:
    (column,) = columns(Audit.read(run))
    figure = column.pictures[0].figure
    assert figure is not None and figure.title == "The next 10 tokens are extracted"
    assert [who for who, _ in figure.series] == ["tuned", "floor", "base", "ceiling"]
    drawn = {(p["at"].split(",")[0], p["who"]): p["rate"] for p in values(figure.spec) if "who" in p}
    lines = {line["value"]: line for line in run.lines("rates")
             if (line["by"], line["detail"]) == ("column:task", "budget=10")}  # fmt: skip
    for task in ("dialogue", "qa", "summary"):
        for who, prefix in (("tuned", ""), ("floor", "floor_"), ("base", "base_"), ("ceiling", "ceiling_")):
            assert drawn[task, who] == lines[task][f"{prefix}rate"]
    assert not [task for task, _ in drawn if task == "sentiment"], "sentiment has no row of ten tokens"


def test_what_cannot_be_measured_is_written_into_the_picture(run: Run) -> None:
    (column,) = columns(Audit.read(run))
    figures = {figure.title: figure for figure in column.figures}
    words = [p["label"] for p in values(figures["The next 10 tokens are extracted"].spec) if "said" in p]
    assert words == ["sentiment\n0 of 75 rows"]
    written = {task: [p["label"] for p in values(figures[task].spec) if "said" in p] for task in ("dialogue", "qa")}
    assert written == {"dialogue": [], "qa": [20, 50]}
    assert figures["sentiment"].svg.count("not measurable") == len(BUDGETS) and figures["sentiment"].series == ()
    assert figures["qa"].svg.count("not measurable") == 2
    assert list(figures["qa"].spec["layer"][0]["encoding"]["x"]["scale"]["domain"]) == list(BUDGETS)


def test_the_tables_hold_the_numbers_of_the_pictures(run: Run) -> None:
    (column,) = columns(Audit.read(run))
    rows = {row["name"]: row for row in column.pictures[0].rows}
    assert list(rows) == list(TASKS)
    assert rows["qa"]["tuned"].count == "9 of 75" and rows["qa"]["detail"] == "75 of 75 rows measurable"
    assert rows["sentiment"]["tuned"] is None
    assert len(column.rows) == len(TASKS) * len(BUDGETS)
    assert [row["detail"] for row in column.rows[:4]] == ["6 tokens", "10 tokens", "20 tokens", "50 tokens"]
    (widest, *_) = column.pictures[0].pairs
    assert widest[:2] == ("summary", "qa") and widest[2].rate == "+24.0" and widest[3]


def test_the_page_says_what_the_picture_shows_before_it(hidden: Path) -> None:
    text = hidden.read_text("utf-8")
    section = text[text.index("<h2>By task</h2>") : text.index('<section id="origins">')]
    assert section.index("2 of the 3 differences") < section.index("<figure")
    assert section.count("not measurable</span>") == 1 + 2 + 6, "in the two pictures' tables, and at six budgets"
    assert 'href="#column-0">By task</a>' in text


def test_values_that_look_like_markup_stay_text(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", num_rows=40)
    evil = "<img src=x onerror='window.pwned=3'>"
    table = run.read_table("rates").to_pylist()
    for line in table:
        line["value"] = evil if line["value"] == "dialogue" else line["value"]
    run.write_table("rates", run.read_table("rates").from_pylist(table, run.read_table("rates").schema))
    said = run.read_json("verdict.json")
    said["columns"][0]["rows"][evil] = said["columns"][0]["rows"].pop("dialogue")
    run.write_json("verdict.json", said)
    page = Page(write_report(run).read_text("utf-8"))
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_without_a_column_there_is_no_section(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", num_rows=40, tasks=False)
    assert columns(Audit.read(run)) == []
    assert "column-0" not in write_report(run).read_text("utf-8") and "By task" not in verdict_plain(run)
    said = run.read_json("verdict.json")
    del said["columns"]
    run.write_json("verdict.json", said)
    assert "column-0" not in write_report(run).read_text("utf-8"), "a run from before there were columns"


def test_without_floors_and_base_the_picture_has_neither(tmp_path: Path) -> None:
    (column,) = columns(Audit.read(fake_run(tmp_path / "run", num_rows=40, base=False, heldout=False)))
    assert column.pictures[0].figure is not None
    assert [who for who, _ in column.pictures[0].figure.series] == ["tuned", "ceiling"]


def test_the_terminal_shows_the_tasks_in_a_small_table(run: Run) -> None:
    text = verdict_plain(run)
    lines = text[text.index("By task, next 10 tokens") :].splitlines()
    assert re.split(r" {2,}", lines[0])[1:] == ["rows", "rate", "floor", "base", "above floor"]
    assert [re.split(r" {2,}", line)[0] for line in lines[2:6]] == list(TASKS)
    assert re.split(r" {2,}", lines[3]) == ["qa", "9 of 75", "12.0 %", "0 %", "0 %", "+12.0"]
    assert re.split(r" {2,}", lines[4])[1] == "not measurable"
    assert "2 of the 3 differences between two values of task" in text
