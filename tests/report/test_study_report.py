"""The report of a study: its numbers are those of the tables, "not measurable" is a word, and hidden text is absent."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from remanence.core.run import Run
from remanence.jobs.study.arm import Arm
from remanence.report.html import write_report
from remanence.report.study import ANY, Cell, Kind, Study, slug
from remanence.report.study_charts import RATES, WHOLE, Dot, Point, Trace, centred, panel, plane, steps
from remanence.report.study_curves import curves
from remanence.report.study_examples import examples
from remanence.report.study_picture import picture
from remanence.report.study_sections import parts
from remanence.report.study_tables import attention, contrasts
from remanence.report.study_words import dots, left, picture_sentence, signed
from remanence.report.terminal import verdict_plain
from remanence.report.words import percent, points, span

from .fake_run import EVIL_TEXT
from .fake_study import EVIL_TASK, SECRET, SHORT, TASKS, fake_study
from .page import Page

INPUTS = Kind("decoder", "all")
PUBLISHED = Cell("published", "input", "50", 100)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two seeds of six tasks, on two models."""
    return fake_study(tmp_path_factory.mktemp("studies") / "study", seeds=(0, 1))


@pytest.fixture(scope="session")
def study(folder: Run) -> Study:
    return Study.read(folder)


@pytest.fixture(scope="session")
def hidden(folder: Run) -> str:
    """The report as anyone may see it."""
    return write_report(folder).read_text("utf-8")


@pytest.fixture(scope="session")
def revealed(folder: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report with the examples' text."""
    copy = tmp_path_factory.mktemp("studies") / "revealed"
    shutil.copytree(folder.folder, copy)
    return write_report(Run.open(copy), reveal=True).read_text("utf-8")


def test_what_is_left_of_one_rate_worked_by_hand() -> None:
    """9 of 10 flagged, 6 of 10 never trained on: 30 points above the floor, of which the base model has 10."""
    line = {"hits": 9, "n": 10, "rate": 0.9, "low": 0.55, "high": 0.99, "floor_hits": 6, "floor_n": 10}
    line |= {"floor_rate": 0.6, "floor_low": 0.26, "floor_high": 0.88}
    line |= {"excess": 0.3, "excess_low": -0.1, "excess_high": 0.6, "did": 0.2, "did_low": -0.2, "did_high": 0.5}
    assert [(dot.who, dot.value) for dot in dots(line)] == [("tuned", 0.9), ("floor", 0.6)]
    assert "9 of 10" in dots(line)[0].says and "90.0\u00a0%" in dots(line)[0].says
    assert signed(line, "excess") == "+30.0 [-10.0, +60.0]"
    assert signed(line, "did") == "+20.0 [-20.0, +50.0]"
    told = picture_sentence({"qa": line})
    assert "flags 90.0\u00a0% of the training rows of qa." in told
    assert "Of rows that were never trained on it flags 60.0\u00a0%" in told
    assert told.endswith("none of 1 task stands clearly above zero.")


def test_a_difference_whose_interval_leaves_out_zero_is_named() -> None:
    sure = {"n": 1, "hits": 1, "rate": 1.0, "low": 0.9, "high": 1.0, "did": 0.4, "did_low": 0.1, "did_high": 0.6}
    under = sure | {"rate": 0.5, "did": -0.4, "did_low": -0.6, "did_high": -0.1}
    told = picture_sentence({"qa": under, "dialogue": sure})
    assert "1 of 2 tasks stands clearly above zero (dialogue), and qa below it." in told


def test_without_rows_nothing_is_drawn() -> None:
    line = {"hits": 0, "n": 0, "rate": None, "floor_n": 3, "floor_hits": 0, "floor_rate": 0.0, "excess": None}
    assert dots(line) == [] and left(line, "excess") is None and signed(line, "excess") == "–"
    drawn = panel("x", [("6", []), ("10", [Dot("tuned", 0.0, 0.0, 0.1, "none of 30")])], RATES)
    assert drawn.count("not measurable") == 1 and drawn.count("<circle") == 1


def test_scales() -> None:
    assert WHOLE(0.25) == 0.25 and RATES(0.25) == 0.5 and RATES(2) == 1
    assert centred([-0.12, 0.05, None])(0) == 0.5 and centred([-0.12]).high == 0.2
    scale = steps([1.9, 2.6])
    assert scale.low <= 1.9 and scale.high >= 2.6
    assert [label for _, label in steps([0.0, 0.4], 0.01).ticks] == ["0", "10", "20", "30", "40"]
    assert steps([0.3, 0.3]).low < 0.3 < steps([0.3, 0.3]).high


def test_no_line_bridges_a_gap() -> None:
    dot = Dot("tuned", 0.5, 0.4, 0.6, "x")
    whole = panel("x", [("1", [dot]), ("2", [dot]), ("3", [dot]), ("4", [dot])], WHOLE, joined=True)
    broken = panel("x", [("1", [dot]), ("2", [dot]), ("3", []), ("4", [dot])], WHOLE, joined=True)
    (line,) = re.findall(r'class="line" d="([^"]+)"', whole)
    assert line.count("L") == 3
    (line,) = re.findall(r'class="line" d="([^"]+)"', broken)
    assert line.count("L") == 1, "the fourth stands alone"


def test_words_of_the_data_are_escaped_in_pictures() -> None:
    drawn = panel("<i>", [("<b>", [Dot("tuned", 0, 0, 0, "</title><script>")])], RATES)
    drawn += plane("<i>", [Trace("t0", [Point(0, 1, "<script>"), Point(1, 2)])], "<x>", "<y>")
    assert not re.search(r"<(script|b|i|x|y)>", drawn)


def test_folders_are_called_as_the_engine_calls_them() -> None:
    for arm in (Arm("qa/a b", "m.x"), Arm("<>", "decoder", "all", 2, 3, 5e-4, 16, 8)):
        assert slug(arm.spec()) == arm.slug


def test_the_picture_shows_the_numbers_of_the_table(folder: Run, study: Study, hidden: str) -> None:
    lines = [line for line in folder.lines("effects") if line["metric"] == "published" and line["side"] == "input"
             and line["copies"] == "all" and (line["model"], line["loss_on"]) == INPUTS]  # fmt: skip
    shown = picture(study, INPUTS)
    assert len(shown.rows) == len(lines) == len(TASKS) + 1, "the arm with LoRA has a line of its own"
    assert sum(row.name.endswith("LoRA rank 8") for row in shown.rows) == 1
    assert [row.family for row in shown.rows] == ["summarization"] * 2 + ["dialogue"] + ["qa"] * 2 + [
        "translation", "sentiment"]  # fmt: skip
    for line in lines:
        text = f"{percent(line['rate'])}, {line['hits']:,} of {line['n']:,} rows"
        (row,) = [row for row in shown.rows if row.note == text and row.did == signed(line, "did")]
        assert [lane.at for lane in row.rates] == [
            round(100 * line[f"{side}rate"], 2) for side in ("", "floor_", "base_", "ceiling_")
        ]
        assert text in hidden and signed(line, "excess") in hidden
        middle = next(place for place, label in shown.left_scale if label == "0")
        assert math.copysign(1, row.left[1].at - middle) == math.copysign(1, line["did"])


def test_every_number_behind_a_picture_stands_in_a_table(study: Study, hidden: str) -> None:
    for kind in study.kinds:
        for part in parts(study, kind):
            for group in part.groups:
                assert len(group.panels) in {len(TASKS) - 1, len(TASKS)}
                assert len(group.table) >= len(group.panels)
    line = study.of(INPUTS, Cell("greedy", "output", ANY, 20))["dialogue"]
    cells = [
        f"<b>{percent(line[f'{side}rate'])}</b><small>{span(line[f'{side}low'], line[f'{side}high'])}</small>"
        f"<small>{line[f'{side}hits']:,} of {line[f'{side}n']:,}</small>"
        for side in ("", "floor_", "base_", "ceiling_")
    ]
    cells += [
        f"<b>{points(line[what])}</b><small>{points(line[f'{what}_low'])} to {points(line[f'{what}_high'])}</small>"
        for what in ("excess", "did")
    ]
    rows = re.findall(r'<th scope="row">dialogue<small>20 tokens</small></th>(.*?)</tr>', hidden)
    assert sum(re.findall(r'<td class="num">(.*?)</td>', row) == cells for row in rows) == 1


def test_the_length_panels_follow_the_table(study: Study) -> None:
    (length,) = [part for part in parts(study, INPUTS) if part.name == "length"]
    (group,) = [g for g in length.groups if g.title.startswith("The next tokens of outputs")]
    drawn = dict(group.panels)["dialogue"]
    for budget in study.budgets:
        line = study.of(INPUTS, Cell("greedy", "output", ANY, budget))["dialogue"]
        for side in ("", "floor_", "base_", "ceiling_"):
            assert f"{percent(line[f'{side}rate'])} (" in drawn
            assert f"{line[f'{side}hits']:,} of {line[f'{side}n']:,} rows" in drawn


def test_short_rows_are_not_measurable_and_never_zero(study: Study, hidden: str) -> None:
    (length,) = [part for part in parts(study, INPUTS) if part.name == "length"]
    for group in length.groups:
        missing = 2 if "inputs" in group.title else 3
        assert dict(group.panels)[SHORT].count("not measurable") == missing
        assert "not measurable" not in dict(group.panels)["dialogue"]
    rows = hidden.split(f'<th scope="row">{SHORT}<small>100 tokens</small>')[1:]
    assert len(rows) == 4 + 4 + 3, "two sides and two detectors; the encoder-decoder has no input to predict"
    for row in rows:
        assert row.split("</td>")[0].endswith('<span class="muted">not measurable</span>')


def test_a_measure_that_nothing_reaches_is_a_sentence_not_a_row_of_empty_pictures(tmp_path: Path) -> None:
    run = fake_study(tmp_path / "study", seeds=(0,), attention=False)
    lines = run.lines("effects")
    for line in lines:
        if line["metric"] == "calibrated-own" and line["side"] == "input":
            line |= {"hits": 0, "n": 0, "rate": None, "low": None, "high": None, "excess": None, "did": None}
    table = run.read_table("effects")
    run.write_table("effects", pa.Table.from_pylist(lines, schema=table.schema))
    (length,) = [part for part in parts(Study.read(run), INPUTS) if part.name == "length"]
    assert [bool(group.series) for group in length.groups] == [True, True, False, True]
    assert write_report(run).read_text("utf-8").count("Not measurable anywhere") == 3, "one for each kind of training"


def test_a_side_that_nothing_predicts_has_no_picture(study: Study) -> None:
    titles = [g.title for p in parts(study, Kind("encoder-decoder", "completion")) for g in p.groups]
    assert not [t for t in titles if t.startswith("The next") and "inputs" in t]
    assert [t for t in titles if t.startswith("The next") and "outputs" in t]
    assert [t for t in titles if "(inputs)" in t], "but it can be asked about inputs"


def test_curves_are_means_over_seeds(folder: Run, study: Study) -> None:
    found = curves(study, INPUTS)
    assert found is not None and found.against is not None
    lines = [folder.lines(f"arms/{Arm('dialogue', 'decoder', 'all', seed).slug}/curve") for seed in (0, 1)]
    last = [{line["group"]: line for line in seed if line["epoch"] == 6} for seed in lines]
    gap = sum(s["train"]["hits"] / s["train"]["n"] - s["heldout"]["hits"] / s["heldout"]["n"] for s in last) / 2
    (row,) = [r for r in found.table if r["name"] == "dialogue" and r["epoch"] == 6]
    assert row["memory"] == points(gap)
    assert row["heldout"] == f"{sum(s['heldout']['loss'] for s in last) / 2:.3f}"
    assert found.against.count("thin") == 2 * (len(TASKS) + 1), "a line for each seed, the arm with LoRA too"
    assert len(found.legend) == len({(colour, dash) for colour, dash, _ in found.legend}) == len(TASKS) + 1


def test_a_curve_without_long_rows_is_not_measurable(tmp_path: Path) -> None:
    run = fake_study(tmp_path / "study", seeds=(0,), attention=False)
    for arm in Study.read(run).arms:
        name = f"arms/{slug(arm)}/curve"
        table = run.read_table(name)
        place = table.schema.get_field_index("n")
        run.write_table(name, table.set_column(place, table.schema.field("n"), pa.array([0] * len(table), pa.int32())))
    found = curves(Study.read(run), INPUTS)
    assert found is not None and found.against is None
    assert {row["memory"] for row in found.table} == {"not measurable"}
    text = write_report(run).read_text("utf-8")
    assert "Not measurable: no row is long enough." in text and 'id="attention"' not in text


def test_contrasts_stand_in_a_folded_table(folder: Run, study: Study, hidden: str) -> None:
    found = contrasts(study)
    assert len(found) == 4, "three kinds, one with LoRA too"
    assert found[0].between == "summarization and dialogue minus qa and translation and sentiment"
    rows = {name: gap for name, gap, _, _ in found[0].rows}
    rate, nats, none = rows.values()
    assert rate is not None and (rate.rate, rate.interval) == ("+12.3", "-4.5 to +23.4")
    assert nats is not None and (nats.rate, nats.interval) == ("+0.123", "-0.045 to +0.234 nats")
    assert none is None and hidden.count('title="its rows are too short') == 4
    for sentence in folder.read_json("verdict.json")["sentences"]:
        assert hidden.index(sentence.replace("'", "&#39;")) < hidden.index('id="picture"') < hidden.index('id="method"')


def test_attention_within_tasks(study: Study, hidden: str) -> None:
    found = attention(study)
    assert [part.title for part in found] == [kind.label for kind in study.kinds]
    by_name = {row.name: row for row in found[0].rows}
    assert list(by_name) == [*TASKS, "all tasks together"]
    assert by_name[SHORT].lanes == [] and "not measurable: too few rows" in hidden
    told = study.verdict["attention"]["pooled"][0]
    assert by_name["all tasks together"].plain is not None
    assert by_name["all tasks together"].plain.rate == f"{told['rho']:+.2f}"
    assert [name for name, _ in found[0].more] == ["Gini", "Normalised entropy of the base model"]
    assert found[0].added[0]["without"] == "0.781" and "120 of 900 rows are extracted" in hidden


def test_examples_are_those_flagged_at_most_tokens(study: Study) -> None:
    first = examples(study, reveal=True)[0]
    assert [example.facts.split(",")[0] for example in first.found] == ["Row train-012", "Row train-003"]
    assert "flagged at 50 tokens" in first.found[0].facts and "trained on 16 times" in first.found[0].facts
    assert first.flagged == "2 of 60 rows flagged by the calibrated detector, first seed"
    assert first.found[0].answer.text == f"answer12 {SECRET} bletchley wherever 50"


def test_hidden_means_no_text_at_all(hidden: str, revealed: str) -> None:
    for word in (SECRET, "bletchley", "answer12", EVIL_TEXT[:20]):
        assert word not in hidden
    assert SECRET in revealed and "answer12" in revealed
    assert "remanence report RUN --reveal" in hidden and "This file contains training text" in revealed
    bars = re.search(r'<dt>It said</dt><dd><div class="words bars"[^>]*>(.*?)</div>', hidden)
    assert bars is not None
    words = f"answer12 {SECRET} bletchley wherever 50".split()
    assert re.findall(r"width:(\d+)ch", bars.group(1)) == [str(len(word)) for word in words]


@pytest.mark.parametrize("report", ["hidden", "revealed"])
def test_names_and_texts_that_look_like_a_page_stay_text(report: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(report)
    page = Page(text)
    assert EVIL_TASK not in text and "&lt;b onclick=x&gt;policy &amp; law&lt;/b&gt;" in text
    assert len(page.code) == 1
    assert not [tag for tag, _ in page.tags if tag in {"img", "iframe", "link", "object", "base"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_nothing_is_loaded_and_the_file_is_small(revealed: str) -> None:
    assert not re.search(r"""(?:src|href)=["'](?!#)""", revealed)
    assert "default-src 'none'" in revealed
    assert not re.search(r"https?://", revealed)
    assert len(revealed.encode()) < 5e6


def test_the_terminal_answer_can_be_pasted(folder: Run, study: Study) -> None:
    text = verdict_plain(folder)
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text and SECRET not in text
    for kind in study.kinds:
        assert f"{kind.label}: rows flagged by the published detector" in text
    table = text.split("decoder, loss on inputs too: rows flagged")[1]
    (row,) = re.findall(r"^dialogue .*$", table.split("[95 %")[0], re.M)
    line = study.of(INPUTS, PUBLISHED)["dialogue"]
    rates = [percent(line[f"{side}rate"]).replace("\u00a0", " ") for side in ("", "floor_", "base_", "ceiling_")]
    assert re.split(r"\s{2,}", row)[1:] == [*rates, signed(line, "excess"), signed(line, "did")]


def test_an_unfinished_study_says_so(tmp_path: Path, folder: Run) -> None:
    run = Run.begin(tmp_path / "study", folder.spec)
    assert "This study has no verdict" in verdict_plain(run)
    assert "This study has no rates yet." in write_report(run).read_text("utf-8")
