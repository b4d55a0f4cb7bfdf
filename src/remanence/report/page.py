"""What every page is made of: files of the package, the chart library, and data that nothing in a script can close."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import vl_convert
from markupsafe import Markup


def embedded(value: Any) -> Markup:
    """JSON for a script element that nothing in it can close: `<`, `>`, `&` and line separators are escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script, once for all charts."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def asset(name: str) -> str:
    """A file of `assets/`."""
    return (resources.files("remanence.report") / "assets" / name).read_text(encoding="utf-8")
