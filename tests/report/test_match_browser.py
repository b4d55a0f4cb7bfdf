"""The report of a match in a real browser: sorted, filtered, opened, both sides lit, and quiet."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remanence.core.run import Run
from remanence.report.html import write_report

from .fake_run import EVIL, EVIL_TEXT
from .page import CHROMIUM, Opener

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here: apt-get install chromium")


def test_texts_are_sorted_and_filtered(open_page: Opener, match_hidden: Path) -> None:
    page = open_page(match_hidden)
    rows = page.locator("#ranking tr.row")
    assert rows.count() == 9
    page.get_by_role("button", name="Words").click()
    words = [int(n) for n in page.locator("#ranking tr.row td:nth-child(8)").all_inner_texts()]
    assert words == sorted(words, reverse=True)
    page.get_by_label("found").select_option("verbatim")
    assert page.locator("#shown").inner_text() == "5 of 9 texts"
    page.get_by_label("bits ≥").fill("100000")
    assert page.locator("#shown").inner_text() == "0 of 9 texts" and page.locator("#page").inner_text() == "no text"
    page.get_by_label("bits ≥").fill("")
    page.get_by_label("Search by id").fill("two-r")
    assert rows.count() == 1 and "and 1 more" in rows.inner_text()


def test_a_text_is_found_by_the_training_row_it_is_from(open_page: Opener, match_hidden: Path) -> None:
    page = open_page(match_hidden)
    source = page.locator("#ranking tr.row", has_text="copy-1").locator("td.name code").inner_text()
    page.get_by_label("Search by id").fill(source)
    assert "copy-1" in page.locator("#ranking tr.row .id").all_inner_texts()


def test_both_sides_are_lit(open_page: Opener, match_revealed: Path) -> None:
    page = open_page(match_revealed)
    row = page.locator("#ranking tr.row", has_text="two-rows")
    row.click()
    card = row.locator("+ tr .card")
    said, sources = card.locator(".side").all()
    assert "Nobody at all said that" in said.inner_text()
    assert sources.locator(".source").count() == 2
    assert said.locator("[data-number]").count() == 2
    colours = [side.locator("mark.other").first.evaluate("e => getComputedStyle(e).backgroundColor")
               for side in (said, sources)]  # fmt: skip
    assert colours[0] == colours[1] != "rgba(0, 0, 0, 0)"
    left, right = said.bounding_box(), sources.bounding_box()
    assert left and right and left["y"] == right["y"] and left["x"] < right["x"], "side by side"


def test_hidden_texts_are_bars_on_both_sides(open_page: Opener, match_hidden: Path) -> None:
    card = open_page(match_hidden).locator("#ranking .card").first
    assert card.locator(".side .bars i").count() > 20
    assert set(card.locator(".bars").all_inner_texts()) == {""}


def test_a_text_that_looks_like_a_script_is_shown_as_it_is(open_page: Opener, match_revealed: Path) -> None:
    row = open_page(match_revealed).locator("#ranking tr.row", has_text=EVIL).first
    row.click()
    assert EVIL in row.locator("+ tr .side").first.inner_text()
    assert EVIL_TEXT[:60] in row.locator("+ tr .words").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_bar_of_shares_fills_its_width(open_page: Opener, match_hidden: Path, scheme: str) -> None:
    page = open_page(match_hidden, color_scheme=scheme)
    bar = page.locator(".stack")
    ends = bar.evaluate("e => [e.lastElementChild.getBoundingClientRect().right, e.getBoundingClientRect().right]")
    assert abs(ends[0] - ends[1]) < 1
    page.locator("[data-chart=rates]").scroll_into_view_if_needed()
    page.locator("[data-chart=rates][data-live]").wait_for()


def test_on_a_phone_the_sides_stand_one_above_the_other(open_page: Opener, match_revealed: Path) -> None:
    page = open_page(match_revealed, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    left, right = (side.bounding_box() for side in page.locator("#ranking .card .side").all())
    assert left and right and left["x"] == right["x"] and left["y"] < right["y"] and right["width"] < 360


def test_on_paper_it_is_whole(open_page: Opener, match_revealed: Path) -> None:
    page = open_page(match_revealed, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator(".stack").is_visible() and not page.locator(".tools").is_visible()
    assert len(page.pdf()) > 30_000


def test_texts_past_the_most_surprising_have_numbers_only(
    open_page: Opener, match: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remanence.report.html.MOST", 2)
    shutil.copytree(match.folder, tmp_path / "run")
    page = open_page(write_report(Run.open(tmp_path / "run"), reveal=True))
    assert "This file contains the passages of the first 2 texts only." in page.locator("#rows .about").inner_text()
    rows = page.locator("#ranking tr.row")
    rows.nth(2).click()
    card = rows.nth(2).locator("+ tr .card")
    assert "they are in matches.parquet" in card.inner_text() and card.locator(".side").count() == 0
