"""A report of many rows has the worst of them in its pages and says where the others are."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from remanence.core.run import Run
from remanence.report import html
from remanence.report.html import write_report
from remanence.report.terminal import verdict_plain

from .fake_run import fake_run
from .page import CHROMIUM, Opener
from .page import Page as Read


def streamed(run: Run) -> Run:
    """The same run as if its rows had passed by: the ranking names 300 of 90,000, of which 70,000 come back."""
    run.write_json("run.json", run.spec | {"stream": {"ranked_rows": 300, "in_memory_rows": 20_000}})
    said = run.read_json("verdict.json")
    said["headline"] |= {"hits": 70_000, "n": 90_000}
    run.write_json("verdict.json", said)
    return run


def test_a_page_that_leaves_rows_out_says_how_many_it_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "ROWS", 120)
    run = fake_run(tmp_path / "run")
    text = write_report(run).read_text("utf-8")
    assert "The worst 120 are listed here; <code>ranking.parquet</code> has all of them." in text
    read = Read(text)
    assert len(read.data["data-rows"]["rank"]) == len(read.evidence()) == 120


def test_a_page_that_has_all_rows_says_nothing_of_it(tmp_path: Path) -> None:
    assert "are listed here" not in write_report(fake_run(tmp_path / "run")).read_text("utf-8")


def test_a_streamed_run_counts_all_its_rows_and_not_those_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "ROWS", 120)
    run = streamed(fake_run(tmp_path / "run"))
    text = write_report(run).read_text("utf-8")
    assert "70,000 of 90,000 rows are extracted." in text
    assert "<code>ranking.parquet</code> has the worst 300, and the tables under <code>blocks/</code>" in text
    assert "Worst rows" in verdict_plain(run)


def test_five_thousand_rows_stay_under_five_megabytes(tmp_path: Path) -> None:
    page = write_report(fake_run(tmp_path / "run", num_rows=5_500, attempts=False, tasks=False))
    assert len(Read(page.read_text("utf-8")).data["data-rows"]["rank"]) == 5_000
    assert page.stat().st_size < 5_000_000


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here: apt-get install chromium")
def test_thousands_of_rows_are_paged_in_the_browser(open_page: Opener, browser: Browser, tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", num_rows=5_500, attempts=False, tasks=False)
    page = open_page(write_report(streamed(run)))
    assert page.locator("#ranking tr.row").count() == 50
    assert "5,000 of 5,000 rows" in page.locator("#shown").inner_text()
    page.get_by_role("button", name="Next").click()
    assert page.locator("#page").inner_text() == "51 to 100"
