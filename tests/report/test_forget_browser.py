"""The report of a forgetting in a real browser: quiet, readable on a phone, its charts alive."""

from __future__ import annotations

from pathlib import Path

import pytest

from remanence.report.html import write_report

from .fake_forget import fake_forget
from .page import CHROMIUM, Opener

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fake_forget(tmp_path_factory.mktemp("forgets") / "forget"), reveal=True)


@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_wider_than_the_window(open_page: Opener, report: Path, width: int) -> None:
    page = open_page(report, viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_charts_come_alive_when_they_are_seen(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    charts = page.locator("[data-chart]")
    assert charts.count() == 4
    for place in range(4):
        charts.nth(place).scroll_into_view_if_needed()
        page.wait_for_function("(n) => document.querySelectorAll('[data-live]').length > n", arg=place)


def test_the_collapse_lies_at_the_right_edge_and_the_limit_before_it(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    page.locator("#trade [data-chart]").scroll_into_view_if_needed()
    page.wait_for_selector("#trade [data-live]")
    plot = page.locator("#trade .plot").bounding_box()
    limit = page.locator("#trade .plot text", has_text="limit +2.0").bounding_box()
    marks = page.locator("#trade .plot .mark-symbol path")
    boxes = [marks.nth(n).bounding_box() for n in range(marks.count())]
    furthest = max(box["x"] for box in boxes if box)
    assert plot["x"] < limit["x"] < furthest < plot["x"] + plot["width"]


def test_answers_open_and_colours_follow_the_theme(open_page: Opener, report: Path) -> None:
    page = open_page(report)
    first = page.locator("#said details").first
    first.locator("summary").click()
    assert "bletchley" in first.inner_text()
    best = page.locator("tr.best th").first
    light = best.evaluate("(e) => getComputedStyle(e).backgroundColor")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert best.evaluate("(e) => getComputedStyle(e).backgroundColor") != light
