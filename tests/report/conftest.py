"""Run folders, once per session, the reports written from them, and a browser to read them in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from remanence.core.run import Run
from remanence.report.html import write_report

from .fake_match import real_match
from .fake_run import fake_run
from .page import CHROMIUM, FLAGS, Opener


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """300 rows, held-out rows, a base model, and a row that tries to break out."""
    return fake_run(tmp_path_factory.mktemp("runs") / "audit")


@pytest.fixture(scope="session")
def hidden(run: Run) -> Path:
    """The report as anyone may see it."""
    return write_report(run)


@pytest.fixture(scope="session")
def revealed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report with training text."""
    folder = tmp_path_factory.mktemp("runs") / "revealed"
    shutil.copytree(run.folder, folder)
    return write_report(Run.open(folder), reveal=True)


@pytest.fixture(scope="session")
def match(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Nine texts against fifty-one rows, with held-out texts."""
    return real_match(tmp_path_factory.mktemp("runs") / "match")


@pytest.fixture(scope="session")
def match_hidden(match: Run) -> Path:
    """Its report as anyone may see it."""
    return write_report(match)


@pytest.fixture(scope="session")
def match_revealed(match: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its report with the texts."""
    folder = tmp_path_factory.mktemp("runs") / "match-revealed"
    shutil.copytree(match.folder, folder)
    return write_report(Run.open(folder), reveal=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a report; when the test ends, it must have been quiet and have loaded nothing but itself."""
    heard: list[str] = []
    pages: list[Page] = []

    def visit(path: Path, **options: Any) -> Page:
        page = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | options)).new_page()
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: None if request.url == path.as_uri() else heard.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield visit
    pwned = [page.evaluate("window.pwned") for page in pages]
    for page in pages:
        page.context.close()
    assert heard == []
    assert pwned == [None] * len(pages)
