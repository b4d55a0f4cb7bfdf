"""The report of a forgetting: its numbers are those of the tables, collapse is shown, and hidden text is absent."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from remanence.core.run import Run
from remanence.jobs.forget import tables
from remanence.report.forget import Forget
from remanence.report.forget_charts import beyond, legend, membership_figure, relearn_figure, trade_figure
from remanence.report.forget_judged import judged, seconds
from remanence.report.forget_rows import rows, said
from remanence.report.forget_sections import all_states, headline, memberships, relearned, tried
from remanence.report.forget_sections import tables as score_tables
from remanence.report.forget_words import cell_of, membership_word, model_name, rise
from remanence.report.html import write_report
from remanence.report.terminal import verdict_plain
from remanence.stats.intervals import newcombe_difference

from .fake_forget import HELDOUT, LIMIT, ROWS, SECRET, WILD, fake_forget
from .fake_run import EVIL, EVIL_TEXT
from .page import Page, without_vega

GOLDEN = Path(__file__).parents[1] / "golden" / "forget.html"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four methods, one of which collapses, and a retrained model."""
    return fake_forget(tmp_path_factory.mktemp("forgets") / "forget")


@pytest.fixture(scope="session")
def forget(folder: Run) -> Forget:
    return Forget.read(folder)


@pytest.fixture(scope="session")
def hidden(folder: Run) -> str:
    """The report as anyone may see it."""
    return write_report(folder).read_text("utf-8")


@pytest.fixture(scope="session")
def revealed(folder: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report with what the models said."""
    copy = tmp_path_factory.mktemp("forgets") / "revealed"
    shutil.copytree(folder.folder, copy)
    return write_report(Run.open(copy), reveal=True).read_text("utf-8")


def test_what_is_gone_worked_by_hand(forget: Forget) -> None:
    """36 of 40 come back before and 1 after, 1 of 100 held-out rows: (0.89 - 0.015) / 0.89 of the excess is gone."""
    before, after = judged(forget, "before"), judged(forget, "npo")
    assert before is not None and after is not None and before.excess is not None and after.excess is not None
    assert before.excess.value == pytest.approx(36 / 40 - 1 / 100)
    assert after.excess.value == pytest.approx(1 / 40 - 1 / 100)
    assert after.removed == pytest.approx((0.89 - 0.015) / 0.89)
    assert after.rise is not None and after.rise.value == pytest.approx(0.013)
    assert after.excess[1:] == tuple(newcombe_difference(1, ROWS, 1, HELDOUT).interval)
    told = headline(forget)
    assert told is not None and told["number"] == "98.3" and told["at"] == "learning_rate=0.0001, 40 steps"
    assert [(s.who, s.count) for s in told["strips"]] == [
        ("tuned", "36 of 40"), ("base", "1 of 40"), ("floor", "0 of 40"), ("blind", "1 of 100")]  # fmt: skip


def test_without_the_whole_evaluation_the_states_on_the_path_speak(tmp_path: Path) -> None:
    run = fake_forget(tmp_path / "run")
    (run.folder / "scores.parquet").unlink()
    found = judged(Forget.read(run), "npo")
    assert found is not None and found.rise is not None and found.rise.value == 0.012 and found.rise.low == 0.008
    assert found.removed == pytest.approx((0.89 - 0.015) / 0.89) and found.auc is not None and found.auc.value == 0.72


def test_a_guard_while_decoding_is_judged_by_what_was_said(tmp_path: Path) -> None:
    run = fake_forget(tmp_path / "run")
    verdict = run.read_json("verdict.json") | {
        "judged": {"npo": {"kind": "decoding", "within": False, "slug": "npo-1"}}
    }
    run.write_json("verdict.json", verdict)
    lines = run.lines("scores")
    asked = {("before", "forget"): 30, ("before", "heldout"): 0, ("npo", "forget"): 0, ("npo", "heldout"): 0}
    for (model, side), hits in asked.items():
        lines.append({**lines[0], "model": model, "side": side, "metric": "generated_exact", "hits": hits, "n": 30})
    run.write_table("scores", pa.Table.from_pylist(lines))
    found = judged(Forget.read(run), "npo")
    assert found is not None and found.forget is not None and (found.forget.hits, found.removed) == (0, 1.0)
    assert not found.within


def test_the_job_writes_what_the_report_reads(folder: Run) -> None:
    for name in ("points", "scores", "relearn", "relearned", "forget_rows", "row_states", "said"):
        schema = getattr(tables, name.upper())
        assert set(folder.read_table(name).column_names) - {"seconds"} == set(schema.names), name


def test_models_stand_in_one_order_with_the_recommended_method_first(forget: Forget) -> None:
    assert forget.models == ["before", "npo", "gradient_ascent", "task_vector", EVIL, "retrained"]
    assert [path.setting for path in forget.paths("npo")] == ["learning_rate=0.0001", WILD]
    chosen = forget.chosen("npo")
    assert chosen is not None and (chosen["setting"], chosen["strength"]) == ("learning_rate=0.0001", 40)
    assert [colour for colour, _, _ in legend(forget, forget.models)] == ["tuned", "t1", "t2", "t3", "t4", "floor"]
    assert model_name("gradient_ascent") == "gradient ascent" and forget.limit == LIMIT


def test_every_state_is_in_the_picture_collapse_included(forget: Forget) -> None:
    figure = trade_figure(forget)
    assert figure is not None
    dots = figure.spec["data"]["values"]
    finite = [point for point in forget.points if math.isfinite(point["loss_rise"])]
    drawn = [(d["model"], d["strength"], d["excess"], d["rise"]) for d in dots]
    assert drawn == [(p["method"], p["strength"], p["excess"], p["loss_rise"]) for p in finite]
    assert max(rise for *_, rise in drawn) == 7.16, "the collapse is drawn"
    (scale,) = {json.dumps(layer["encoding"]["x"]["scale"]) for layer in figure.spec["layer"]
                if "scale" in layer.get("encoding", {}).get("x", {})}  # fmt: skip
    assert json.loads(scale)["type"] == "symlog" and json.loads(scale)["domain"][1] >= 7.16
    kept = {(d["model"], d["strength"]) for d in dots if d.get("marked")}
    assert kept == {
        ("before", 0),
        ("retrained", 0),
        ("npo", 40),
        ("gradient_ascent", 20),
        ("task_vector", 0.25),
        (EVIL, 20),
    }
    assert "limit +2.0" in figure.svg and "NaN" not in figure.svg


def test_what_cannot_be_drawn_is_said(forget: Forget, hidden: str) -> None:
    assert beyond(forget) == [
        "gradient ascent: 1 of its states cannot be drawn, because the loss or the rate there is no number."
    ]
    assert beyond(forget)[0] in hidden and "beyond all bounds" in hidden and rise(7.16) == "+716\u00a0%"
    assert rise(0.0123) == "+1.2\u00a0%" and rise(-0.0001) == "+0.0\u00a0%" and rise(math.inf) == "beyond all bounds"


def test_every_state_stands_in_numbers_with_why_it_ended(forget: Forget, hidden: str) -> None:
    states = all_states(forget)
    own = [point for point in forget.points if point["method"] not in {"before", "retrained"}]
    assert sum(len(lines) for _, _, lines, _ in states) == len(own)
    notes = {
        (name, line["at"]): line["note"] for name, setting, lines, _ in states if setting != WILD for line in lines
    }
    assert notes["npo", "40 steps"] == "kept, on the front"
    assert notes["gradient ascent", "40 steps"] == "beyond the limit"
    assert hidden.count("The loss passed five times its limit.") == len(states)


def test_the_table_says_what_was_kept_and_what_it_cost(forget: Forget, hidden: str) -> None:
    lines = {line.name: line for line in tried(forget)}
    assert [line.recommended for line in lines.values()] == [False, True, False, False, False, False]
    assert lines["Before"].removed == "–" and lines["Before"].rise is None
    ascent = lines["gradient ascent"]
    assert ascent.forget is not None and (ascent.forget.rate, ascent.forget.count) == ("55.0\u00a0%", "22 of 40")
    assert ascent.auc is not None and ascent.auc.count == "over-unlearned"
    assert (
        lines["npo"].seconds == "80"
        and "<b>55.0\u00a0%</b><small>38.5 to 70.7</small><small>22 of 40</small>" in hidden
    )
    assert lines["Retrained without them"].removed == "100\u00a0%", "below its floor is all gone, not more"


def test_seconds_come_from_the_jobs_own_file_too(tmp_path: Path) -> None:
    run = fake_forget(tmp_path / "run")
    run.write_table("points", run.read_table("points").drop_columns(["seconds"]))
    assert seconds(Forget.read(run), "npo") is None
    run.write_json("seconds.json", {"npo-1": 12.5, "retrained": 33.0})
    run.write_json("verdict.json", run.read_json("verdict.json") | {"judged": {"npo": {"slug": "npo-1"}}})
    assert (seconds(Forget.read(run), "npo"), seconds(Forget.read(run), "retrained")) == (12.5, 33.0)


def test_before_and_after_stand_side_by_side_in_groups(forget: Forget, hidden: str) -> None:
    forgotten, untouched, heldout = score_tables(forget)
    assert [name for _, name in forgotten["heads"]] == [model_name(m) for m in forget.models]
    assert [name for name, _ in forgotten["groups"]] == [
        "Extraction",
        "As open-unlearning defines it",
        "Membership",
    ]
    ratio = next(r for r in forgotten["groups"][1][1] if r["name"] == "Truth ratio")
    assert ratio["notes"] == ["other rows stand in for wrong answers"] and len(ratio["cells"]) == len(forget.models)
    use = dict(heldout["groups"])["Use"]
    assert [r["name"] for r in use] == ["Loss, nats per token", "Task", "politeness <b>"]
    assert [c is None for c in use[1]["cells"]] == [True] * 6 and "no task metric was given" in hidden
    assert "politeness &lt;b&gt;" in hidden and untouched["title"] == "Other training rows"


def test_values_in_the_form_of_their_metric() -> None:
    def told(metric: str, value: float | None, **more: object) -> tuple[str, str, str] | None:
        cell = cell_of({"metric": metric, "value": value, "low": None, "high": None, "n": None, "hits": None, **more})
        return None if cell is None else (cell.rate, cell.interval, cell.count)

    assert told("discoverable", 0.5, low=0.1, high=0.9, n=4, hits=2) == ("50.0\u00a0%", "10.0 to 90.0", "2 of 4")
    assert told("forget_quality", 3e-7, n=40) == ("3e-07", "", "40 rows")
    assert told("privleak", -96.4) == ("-96", "", "") and told("privleak", 0.2) == ("0", "", "")
    assert told("loss", 2.345, low=2.1, high=2.6) == ("2.35", "2.10 to 2.60", "") or told("loss", 2.345)
    assert told("user:f1", 0.25) == ("0.25", "", "") and told("rouge", None) is None
    assert told("loss", math.inf) == ("beyond all bounds", "", "")


def test_membership_is_read_both_ways(forget: Forget, hidden: str) -> None:
    assert membership_word(0.2, 0.1, 0.3).startswith("over-unlearned")
    assert membership_word(0.8, 0.6, 0.9) == "still recognised as training rows"
    assert membership_word(0.55, 0.45, 0.6) == "not to be told from rows never seen"
    told = memberships(forget)
    assert told[2] == "gradient ascent: over-unlearned: they stand out by being unlikely (AUC 0.20; PrivLeak +67)."
    assert told[-1].endswith("(AUC 0.52; PrivLeak 0).") and told[2] in hidden
    figure = membership_figure(forget)
    assert figure is not None and "over-unlearned, 0.5 a coin" in figure.svg


def test_relearning_is_told_in_steps(forget: Forget, hidden: str) -> None:
    (again, told), (kept, _) = relearned(forget)
    assert (again, kept) == ("Trained on forgotten rows again", "Trained on rows that were kept")
    assert [steps for *_, steps in told] == ["at once", "6", *["not within 30 steps"] * 3, "14"]
    assert relearn_figure(forget, "forget", "x") is not None and relearn_figure(forget, "nothing", "x") is None
    assert "After further training on rows that were kept" in hidden


def test_rows_that_still_come_back_stand_first(forget: Forget) -> None:
    heads, listed, more = rows(forget)
    assert more == 0 and len(listed) == ROWS and [name for _, name in heads][1] == "npo"
    assert listed[0]["id"] == "chat-00039" and listed[0]["cells"][1] == ("back", "●\u00a069")
    assert listed[1]["cells"][0][0] == "back" and listed[1]["cells"][1][0] == ""


def test_hidden_means_no_text_at_all(forget: Forget, hidden: str, revealed: str) -> None:
    for word in (SECRET, "bletchley", "something else", EVIL_TEXT[:30]):
        assert word not in without_vega(hidden).replace(EVIL, "")
    assert SECRET in revealed and "bletchley" in revealed and "This file contains training text" in revealed
    one = said(forget, reveal=False)[0]
    assert one.truth.text is None and one.truth.bars == [len(w) for w in f"{SECRET} bletchley row 0".split()]
    assert [name for name, _ in one.answers] == ["Before", "npo", "Retrained without them"]


@pytest.mark.parametrize("report", ["hidden", "revealed"])
def test_names_and_texts_that_look_like_a_page_stay_text(report: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(report)
    page = Page(text)
    assert len(page.code) == 2 and EVIL not in re.sub(r"<script(.*?)</script>", "", without_vega(text), flags=re.S)
    assert not [tag for tag, _ in page.tags if tag in {"img", "iframe", "link", "object", "base"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_nothing_is_loaded_from_anywhere(revealed: str) -> None:
    own = without_vega(revealed)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|import\(", own)
    assert not re.search(r"""(?:src|href)=["'](?!#)""", own)


def test_without_a_retrained_model_nothing_is_said_of_it(tmp_path: Path) -> None:
    run = fake_forget(tmp_path / "run", retrained=False)
    text = re.sub(r"<script.*", "", write_report(run).read_text("utf-8"), flags=re.DOTALL)
    assert ">Retrained without them" not in text and "No retrained model was made." in text
    assert "Retrained" not in verdict_plain(run)


def test_the_terminal_answer_fits_a_mail(folder: Run) -> None:
    text = verdict_plain(folder)
    assert len(text.splitlines()) <= 30 and max(map(len, text.splitlines())) <= 96
    assert "\x1b" not in text and SECRET not in text
    (line,) = re.findall(r"^npo .*$", text, re.M)
    assert re.split(r"\s{2,}", line) == ["npo", "1 of 40", "+1.5", "98.3 %", "+1.3 %", "20 of 60", "0.72", "6"]
    assert re.search(r"^gradient ascent .* 0\.20 \(!\) ", text, re.M)
    assert "Recommended: npo, learning_rate=0.0001, 40 steps" in text


def test_a_forgetting_that_is_not_finished_says_so(tmp_path: Path, folder: Run) -> None:
    run = Run.begin(tmp_path / "run", folder.spec)
    assert "This forgetting has no verdict" in verdict_plain(run)
    text = write_report(run).read_text("utf-8")
    assert "This forgetting has no verdict" in text and "No state has been measured yet." in text


def test_where_nothing_helps_nothing_is_recommended(tmp_path: Path) -> None:
    run = fake_forget(tmp_path / "run")
    run.write_json(
        "verdict.json", run.read_json("verdict.json") | {"recommended": {}, "sentences": ["No method helped."]}
    )
    text = write_report(run).read_text("utf-8")
    assert "No method helped." in text and "Recommended:" not in text and "Recommended" not in verdict_plain(run)


def test_the_same_run_gives_the_same_bytes(hidden: str, tmp_path: Path) -> None:
    assert write_report(fake_forget(tmp_path / "elsewhere")).read_text("utf-8") == hidden
    assert str(tmp_path) not in hidden


def test_the_page_reads_as_it_did(tmp_path: Path) -> None:
    """Everything but styles, scripts and drawings; `REMANENCE_GOLDEN=write pytest tests/report` renews it."""
    text = write_report(fake_forget(tmp_path / "run", evil=False)).read_text("utf-8")
    text = re.sub(r"(<(style|script)\b[^>]*>).*?(?=</\2>)", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"<svg.*?</svg>", "<svg></svg>", text, flags=re.DOTALL)
    text = re.sub(r"sha256-[^']+", "sha256-", text)
    if os.environ.get("REMANENCE_GOLDEN") == "write":
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8")
