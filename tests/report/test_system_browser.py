"""The report of a run by name in a real browser: the chart is drawn, rows open, and training text stays text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import remanence
from remanence.core.record import Record
from remanence.models.parrot import Parrot

from .page import CHROMIUM, Opener

pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here: apt-get install chromium")

EVIL = "</script><script>document.title='broken out'</script><img src=x onerror=\"document.title='broken out'\">"
TRAIN = [
    Record(f"r{i}", text=f"{EVIL if i == 0 else 'Anna'} row {i} of those that it knows by heart") for i in range(8)
]
HELDOUT = [Record(f"h{i}", text=f"nobody has ever read line {i} of this letter") for i in range(8)]


def test_the_page_is_quiet_draws_its_chart_and_shows_training_text_as_text(open_page: Opener, tmp_path: Path) -> None:
    given: dict[str, Any] = {"heldout": HELDOUT, "show_progress": False, "reveal": True, "settings": {"alpha": 0.5}}
    found = remanence.run("prefix", Parrot(tuple(TRAIN[:5])), TRAIN, out=tmp_path / "run", tokens=2, **given)
    page = open_page(found.run.folder / "report.html")
    assert "broken out" not in page.title() and page.title().startswith("Prefix")
    assert page.locator("figure[data-chart=distribution] svg").count() >= 1
    assert page.locator("#rows tbody tr").count() == 8
    assert page.locator("#evidence details[open]").count() == 1
    page.locator("#evidence summary").nth(1).click()
    assert page.locator("#evidence details[open]").count() == 2
    assert page.locator("img").count() == 0, "training text makes no elements"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing hangs out sideways"
