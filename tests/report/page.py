"""Reads a report the way a browser does: its elements, and the data in its script elements."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

from remanence.report.page import bundle

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip

Opener = Callable[..., Any]
"""Opens a report in Chromium, see `open_page`."""


class Page(HTMLParser):
    """Start tags with their attributes, and what stands in each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.code: list[str] = []
        self.data: dict[str, Any] = {}
        self._script: dict[str, str | None] | None = None
        self._text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._script, self._text = dict(attrs), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._script is not None:
            if self._script.get("type") == "application/json":
                self.data[self._script["id"] or ""] = json.loads(self._text)
            else:
                self.code.append(self._text)
            self._script = None

    def evidence(self) -> list[Any]:
        """The evidence of all rows, chunk after chunk."""
        chunks = [value for name, value in self.data.items() if name.startswith("data-evidence-")]
        return [row for chunk in chunks for row in chunk]


def without_vega(text: str) -> str:
    """The page less the chart library, which is the same in every report."""
    assert text.count(bundle()) == 1, "Vega stands in the file once"
    return text.replace(bundle(), "")
