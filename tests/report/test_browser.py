"""The report in a real browser: it is quiet, it can be sorted, filtered and opened, and nothing in it escapes."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from remanence.report.html import write_report

from .fake_run import EVIL, fake_run
from .page import CHROMIUM, Opener

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here: apt-get install chromium")


def column(page: Page, name: str) -> list[str]:
    """The cells under a heading, on the page of the table that shows."""
    names = [head.strip() for head in page.locator("#ranking thead th").all_inner_texts()]
    return page.locator(f"#ranking tr.row td:nth-child({names.index(name) + 1})").all_inner_texts()


def test_rows_are_sorted_by_a_click_on_the_heading(open_page: Opener, hidden: Path) -> None:
    page = open_page(hidden)
    assert [int(n) for n in column(page, "#")] == list(range(1, 51))
    heading = page.locator("#ranking th", has_text="Tokens")
    heading.locator("button").click()
    tokens = [int(n) for n in column(page, "Tokens")]
    assert tokens == sorted(tokens, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").click()
    tokens = [int(n) for n in column(page, "Tokens")]
    assert tokens == sorted(tokens)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert page.locator("#ranking [aria-sort]").count() == 1


def test_rows_that_do_not_come_back_stand_last_in_either_direction(open_page: Opener, hidden: Path) -> None:
    page = open_page(hidden)
    heading = page.get_by_role("button", name="Comes back after")
    for _ in range(2):
        heading.click()
        assert "–" not in column(page, "Comes back after")


def test_rows_are_filtered(open_page: Opener, hidden: Path) -> None:
    page = open_page(hidden)
    page.get_by_label("comes back").check()
    assert page.locator("#shown").inner_text() == "51 of 300 rows"
    page.get_by_label("copies ≥").fill("8")
    assert min(int(n) for n in column(page, "Copies")) >= 8
    page.get_by_label("comes back").uncheck()
    page.get_by_label("copies ≥").fill("")
    page.get_by_label("Search by id").fill("CHAT-00277")
    assert page.locator("#shown").inner_text() == "1 of 300 rows"
    page.get_by_label("Search by id").fill("no such row")
    assert page.locator("#ranking tbody tr").count() == 0


def test_the_table_is_paged(open_page: Opener, hidden: Path) -> None:
    page = open_page(hidden)
    assert page.locator("#ranking tr.row").count() == 50
    page.get_by_role("button", name="Next").click()
    assert column(page, "#")[0] == "51"
    for _ in range(4):
        page.get_by_role("button", name="Next").click()
    assert page.get_by_role("button", name="Next").is_disabled()
    assert column(page, "#")[-1] == "300"


def test_a_row_opens_on_both_answers_with_the_span_lit_up(open_page: Opener, revealed: Path) -> None:
    page = open_page(revealed)
    row = page.locator("#ranking tr.row").nth(1)
    row.click()
    assert row.locator("button").get_attribute("aria-expanded") == "true"
    card = page.locator("#ranking .card").nth(1)
    tuned, base = card.locator(".answer").all()
    assert "All 32 tokens are the row's own." in tuned.inner_text()
    assert tuned.locator("mark.own").inner_text().strip() == tuned.locator(".words").inner_text().strip()
    assert len(base.locator("mark.own").inner_text()) < len(tuned.locator("mark.own").inner_text())
    assert "The base model said" in base.inner_text()
    row.click()
    assert page.locator("#ranking .card").count() == 1


def test_the_answer_stands_beside_the_training_row_it_is_from(open_page: Opener, revealed: Path) -> None:
    card = open_page(revealed).locator("#ranking .card").first
    said, source = card.locator(".side").all()
    assert "Training row chat-" in source.inner_text() and "equal words" in source.inner_text()
    assert said.locator("mark.own").all_inner_texts() == source.locator("mark.own").all_inner_texts() != []


def test_hidden_evidence_is_bars(open_page: Opener, hidden: Path) -> None:
    card = open_page(hidden).locator("#ranking .card").first
    assert card.locator(".bars i").count() > 10
    assert card.locator(".bars").all_inner_texts() == [""] * 6, (
        "prompt, two answers, what stands there, and the detector's pair"
    )
    assert "words" in (card.locator(".bars").first.get_attribute("aria-label") or "")


@pytest.mark.parametrize("report", ["hidden", "revealed"])
def test_a_row_that_holds_a_script_is_shown_not_run(
    open_page: Opener, report: str, request: pytest.FixtureRequest
) -> None:
    page = open_page(request.getfixturevalue(report))
    row = page.locator("#ranking tr.row", has_text=EVIL)
    row.click()
    card = page.locator("#ranking .card").nth(1)
    assert EVIL in card.inner_text()
    if report == "revealed":
        assert "</script><img src=x" in card.inner_text() and "{{ 7*7 }}" in card.inner_text()
    assert page.locator("#ranking img, #ranking script").count() == 0


def test_a_script_put_into_the_page_would_not_run(open_page: Opener, hidden: Path, browser: Browser) -> None:
    """The last line of defence: even a hole in the escaping could not be used."""
    broken = hidden.with_name("broken.html")
    broken.write_text(
        hidden.read_text("utf-8").replace("<main>", f"<main>{EVIL}<img src=x onerror='pwned=2'>"), "utf-8"
    )
    page = browser.new_page()
    page.goto(broken.as_uri())
    assert page.evaluate("window.pwned") is None
    assert page.locator("#ranking tr.row").count() == 50
    page.close()


def test_charts_come_alive_and_follow_light_and_dark(open_page: Opener, hidden: Path) -> None:
    page = open_page(hidden, color_scheme="dark")
    charts = page.locator("[data-chart]")
    assert charts.count() >= 8
    assert page.locator(".plot svg").count() == charts.count(), "a still picture stands there before any script runs"
    for place in range(charts.count()):
        charts.nth(place).scroll_into_view_if_needed()
        charts.nth(place).and_(page.locator("[data-live]")).wait_for()
    dot = page.locator("[data-chart=prefix] .plot path[fill='var(--tuned)']").first

    def colours() -> list[str]:
        return [page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor"),
                dot.evaluate("e => getComputedStyle(e).fill")]  # fmt: skip

    night = colours()
    page.get_by_role("button", name="light and dark").click()
    day = colours()
    assert night[0] != day[0] and night[1] != day[1]
    page.get_by_role("button", name="light and dark").click()
    assert colours() == night


def test_tasks_are_compared_on_one_picture_in_light_and_dark_and_on_a_phone(open_page: Opener, hidden: Path) -> None:
    for options in ({"color_scheme": "light"}, {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}}):
        page = open_page(hidden, **options)
        section = page.locator("#column-0")
        charts = section.locator("[data-chart]")
        assert charts.count() == 2 + 4, "two pictures, and a curve for each task"
        for place in range(charts.count()):
            charts.nth(place).scroll_into_view_if_needed()
            charts.nth(place).and_(page.locator("[data-live]")).wait_for()
        assert charts.first.locator("svg text", has_text="not measurable").count() == 1
        assert section.locator("[data-chart=budget-0-1] svg text", has_text="not measurable").count() == 2
        text = charts.first.locator("svg text", has_text="not measurable").evaluate("e => getComputedStyle(e).fill")
        assert text == page.locator(".muted").first.evaluate("e => getComputedStyle(e).color")
        section.locator("summary", has_text="Differences").click()
        assert "summary" in section.locator("details[open]").inner_text()
        assert (
            page.evaluate("document.documentElement.scrollWidth") <= options.get("viewport", {"width": 1200})["width"]
        )


def test_on_paper_it_is_light_and_whole(open_page: Opener, hidden: Path) -> None:
    page = open_page(hidden, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".tools").is_visible()
    assert page.locator("h1").is_visible() and page.locator("#ranking tr.row").count() == 50
    assert len(page.pdf()) > 50_000


def test_on_a_phone_nothing_runs_over_the_edge(open_page: Opener, revealed: Path) -> None:
    page = open_page(revealed, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("#ranking .card").bounding_box()["width"] <= 360  # type: ignore[index]


def test_without_scripts_it_still_reads(browser: Browser, hidden: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(hidden.as_uri())
    assert page.locator(".plot svg").first.is_visible()
    assert page.locator("noscript li").count() == 20
    page.close()


@pytest.mark.slow
def test_ten_thousand_rows_open_fast(open_page: Opener, tmp_path: Path) -> None:
    page = open_page(write_report(fake_run(tmp_path / "run", num_rows=10_000), reveal=True))
    loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert loaded < 5_000, "milliseconds, on a slow machine"
    took = page.evaluate(
        "() => { const start = performance.now(); document.querySelector('[data-key=strength]').click();"
        " document.body.offsetHeight; return performance.now() - start; }"
    )
    assert took < 1_000
