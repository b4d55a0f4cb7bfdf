"""The page on attention shows what its code prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "concepts" / "attention.md"


@pytest.mark.slow
def test_the_page_shows_what_its_code_prints():
    code, shown = re.search(
        r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    ).groups()  # pyright: ignore
    said = io.StringIO()
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(said):
        exec(compile(code, str(PAGE), "exec"), names)
    assert said.getvalue() == shown
