"""The report of a study in a real browser: quiet, readable on a phone, in the dark and in print."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from remanence.report.html import write_report

from .fake_study import EVIL_TASK, SHORT, fake_study
from .page import CHROMIUM, Opener

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fake_study(tmp_path_factory.mktemp("studies") / "study", seeds=(0, 1)), reveal=True)


@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_wider_than_the_window(open_page: Opener, report: Path, width: int) -> None:
    page = open_page(report, viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_marks_stand_where_their_rates_are(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    line = page.locator("#picture .picture").nth(1).locator(".line:not(.heads)").first
    rail = line.locator(".rail").first.bounding_box()
    mark = line.locator(".lane.tuned .mark").first.bounding_box()
    share = float(line.locator(".task small").last.inner_text().split("\u00a0")[0]) / 100
    assert (mark["x"] + mark["width"] / 2 - rail["x"]) / rail["width"] == pytest.approx(share, abs=0.01)


def test_a_name_that_looks_like_markup_is_read_as_written(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    assert page.locator("main b[onclick]").count() == 0
    assert EVIL_TASK in page.locator("#kind-0 figcaption").all_inner_texts()


def test_what_cannot_be_measured_is_written_in_the_picture(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    panel = page.locator("#kind-0 figure", has_text=SHORT).first
    assert panel.locator("text.none").count() == 2
    assert panel.locator("text.none").first.is_visible()


def test_examples_open_and_colours_follow_the_theme(open_page: Opener, report: Path, browser: Browser) -> None:
    page = open_page(report)
    first = page.locator("#examples details").first
    first.locator("summary").click()
    assert "answer12" in first.inner_text()
    tuned = page.locator("svg.panel .s.tuned circle").first
    light = tuned.evaluate("(e) => getComputedStyle(e).fill")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert tuned.evaluate("(e) => getComputedStyle(e).fill") != light
