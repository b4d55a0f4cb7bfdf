"""The report of a forgetting: one HTML file that says first what is gone, what it cost, and which state to take."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from remanence.core.run import Run
from remanence.report import forget_charts, forget_rows, forget_sections
from remanence.report.forget import Forget
from remanence.report.page import asset, bundle, embedded
from remanence.report.words import bound, plural

UNFINISHED = "This forgetting has no verdict: it was not finished; add --resume."
BENIGN = "After further training on rows that were kept"
AGAIN = "After further training on forgotten rows"


def forget_page(run: Run, *, reveal: bool = False) -> str:
    """The whole page. Without `reveal` no training text and no answer is in it, only the length of their words."""
    forget = Forget.read(run)
    figures = {
        "trade": forget_charts.trade_figure(forget),
        "membership": forget_charts.membership_figure(forget),
        "again": forget_charts.relearn_figure(forget, "forget", AGAIN),
        "benign": forget_charts.relearn_figure(forget, "benign", BENIGN),
    }
    scripts = [bundle(), asset("page.js")]
    assert not any("</script" in script for script in scripts)
    pages = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    heads, rows, more = forget_rows.rows(forget)
    return pages.get_template("forget.html.j2").render(
        forget=forget,
        reveal=reveal,
        plural=plural,
        bound=bound,
        sentences=forget.verdict.get("sentences") or [UNFINISHED],
        headline=forget_sections.headline(forget),
        tried=forget_sections.tried(forget),
        states=forget_sections.all_states(forget),
        beyond=forget_charts.beyond(forget),
        legend=forget_charts.legend(forget, forget.models),
        tables=forget_sections.tables(forget),
        memberships=forget_sections.memberships(forget),
        relearned=forget_sections.relearned(forget),
        heads=heads,
        rows=rows,
        more=more,
        said=forget_rows.said(forget, reveal=reveal),
        methods=forget_sections.methods(forget),
        settings=_settings(forget),
        svg=lambda figure: Markup(figure.svg),
        style=Markup("".join(asset(name) for name in ("report.css", "rows.css", "study.css", "forget.css"))),
        scripts=[Markup(script) for script in scripts],
        hashes=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        specs=embedded({figure.name: figure.spec for figure in figures.values() if figure is not None}),
        **figures,
    )


def _settings(forget: Forget) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was asked, as titled lists of names and values."""
    spec = forget.spec
    things = [(name, _told(one)) for name, one in {**_dict(spec.get("models")), **_dict(spec.get("data"))}.items()]
    return [
        ("Models and data", things),
        ("Settings", [(key.replace("_", " "), _value(value)) for key, value in _dict(spec.get("settings")).items()]),
        ("Versions", [(name, _value(value)) for name, value in _dict(spec.get("versions")).items()]),
    ]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _told(one: Any) -> str:
    if not isinstance(one, dict):
        return _value(one)
    known: dict[str, Any] = one
    return ", ".join(
        f"{known[key]:,} {key}" if isinstance(known[key], int) else
        f"fingerprint {known[key]}" if key == "fingerprint" else str(known[key])
        for key in known if isinstance(known[key], (str, int))
    )  # fmt: skip


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if value is None or isinstance(value, bool):
        return {None: "not given", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
