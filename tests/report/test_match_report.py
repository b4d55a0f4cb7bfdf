"""The report of a match: the verdict, chance, and each text beside the training rows its words are from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remanence.core.run import Run
from remanence.report.html import write_report

from .fake_match import real_match, secrets
from .fake_run import EVIL, EVIL_TEXT
from .page import Page, without_vega


def _sections(text: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', text)


def test_the_verdict_comes_first_and_then_what_chance_looks_like(match: Run, match_hidden: Path) -> None:
    text = match_hidden.read_text("utf-8")
    assert _sections(text) == ["verdict", "rates", "origins", "calibration", "rows", "method"]
    sentence = match.read_json("verdict.json")["sentences"][0]
    assert sentence.replace(" %", "\u00a0%") in text and "+" in text[text.index('class="of excess"') :][:60]
    for name in ("Verbatim match with a row", "... or paraphrase", "... or idea"):
        assert f'<th scope="row">{name}' in text
    assert "words-1" in text and "MB on disk" in text, "the method names the tokenization and the index"


def test_copies_stand_before_new_texts_and_short_ones_last(match_hidden: Path) -> None:
    rows = Page(match_hidden.read_text("utf-8")).data["data-rows"]
    assert set(rows["id"][:5]) == {"copy-0", "copy-1", "copy-2", "two-rows", EVIL}
    assert set(rows["found"][:5]) == {"verbatim"} and rows["found"][5] == "none"
    silent = rows["found"].index("not measurable")
    assert "short" in rows["id"][silent:] and set(rows["found"][silent:]) == {"not measurable"}
    assert rows["rows"][rows["id"].index("two-rows")] == 2


def test_what_is_lit_on_one_side_is_lit_on_the_other(match_revealed: Path) -> None:
    page = Page(match_revealed.read_text("utf-8"))
    found = dict(zip(page.data["data-rows"]["id"], page.evidence(), strict=True))
    (pair,) = found["copy-1"]["pairs"]
    (source,) = pair["sources"]
    assert source["title"].startswith("Training row train-") and "the prompted row" in source["facts"][0]
    lit = [[re.sub(r"\W+", " ", p) for kind, p, *_ in side["pieces"] if kind == "own"] for side in (pair, source)]
    assert sum(map(len, lit[0])) > 0.5 * sum(len(p) for _, p, *_ in pair["pieces"])
    assert "".join(lit[0]).split()[-5:] == "".join(lit[1]).split()[-5:]


def test_two_sources_are_numbered(match_revealed: Path) -> None:
    page = Page(match_revealed.read_text("utf-8"))
    found = dict(zip(page.data["data-rows"]["id"], page.evidence(), strict=True))
    (pair,) = found["two-rows"]["pairs"]
    assert [source["title"][:4] for source in pair["sources"]] == ["1 · ", "2 · "]
    assert [number for _, _, *more in pair["pieces"] for number in more] == [1, 2]


def test_hidden_means_no_text_of_anyone(match: Run, match_hidden: Path) -> None:
    page = without_vega(match_hidden.read_text("utf-8"))
    words = {word for text in secrets(match) for word in re.findall(r"\w{7,}", text)}
    shown = set(re.findall(r"\w+", page))
    assert len(words) > 30
    assert words & shown <= {"summary"}, "an element of the page"
    assert "All text is hidden" in page
    kinds = {type(piece) for found in Page(page).evidence() for _, piece, *_ in found["pairs"][0]["pieces"]}
    assert kinds == {list}


def test_revealed_text_is_whole(match: Run, match_revealed: Path) -> None:
    page = Page(match_revealed.read_text("utf-8"))
    answers = {line["id"]: line["answer"] for line in match.lines("attempts")}
    for name, found in zip(page.data["data-rows"]["id"], page.evidence(), strict=True):
        assert "".join(piece for _, piece, *_ in found["pairs"][0]["pieces"]) == answers[name]


@pytest.mark.parametrize("report", ["match_hidden", "match_revealed"])
def test_text_that_looks_like_a_script_stays_text(report: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(report).read_text("utf-8")
    page = Page(text)
    assert EVIL in page.data["data-rows"]["id"] and EVIL in page.data["data-rows"]["train_id"]
    assert len(page.code) == 4 and EVIL not in text and EVIL_TEXT not in text
    assert not [tag for tag, _ in page.tags if tag in {"img", "iframe", "link", "object", "base"}]
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|import\(", without_vega(text))


def test_without_heldout_texts_there_is_no_floor_and_no_section_of_chance(tmp_path: Path) -> None:
    run = real_match(tmp_path / "run", heldout=False)
    text = write_report(run).read_text("utf-8")
    assert "calibration" not in _sections(text) and "No held-out texts were given" in text
    assert "Held-out texts</span>" not in text
    assert Page(text).data["data-rows"]["p_value"] == [None] * 9


def test_the_published_detector_says_nothing_of_bits(tmp_path: Path) -> None:
    run = real_match(tmp_path / "run", detector="pan2015")
    page = Page(write_report(run).read_text("utf-8"))
    assert "origins" not in _sections((run.folder / "report.html").read_text("utf-8"))
    rows = page.data["data-rows"]
    assert rows["bits"] == rows["p_value"] == rows["copied"] == [None] * 9
    assert rows["found"][0] == "verbatim" and page.evidence()[0]["pairs"][0]["sources"]


def test_a_match_that_was_not_finished_still_opens(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", {"schema": 1, "job": "match"})
    text = write_report(run).read_text("utf-8")
    assert "no verdict" in text and "no judged texts" in text and "no rates" in text
