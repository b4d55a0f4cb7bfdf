"""The report of an audit of canaries: one HTML file that says first how exposure goes with repetition."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from remanence.core.run import Run
from remanence.report import canaries as told
from remanence.report.canaries import Canaries
from remanence.report.canaries_charts import exposure_figure, membership_figure
from remanence.report.page import asset, bundle, embedded
from remanence.report.words import bound, plural


def canaries_page(run: Run, *, reveal: bool = False) -> str:
    """The whole page. Without `reveal` no secret is in it."""
    canaries = Canaries.read(run)
    figures = {"exposure": exposure_figure(canaries), "membership": membership_figure(canaries)}
    scripts = [bundle(), asset("page.js")]
    assert not any("</script" in script for script in scripts)
    pages = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    secrets = _secrets(run) if reveal else {}
    lines, single = told.table(canaries), told.each(canaries, secrets)
    return pages.get_template("canaries.html.j2").render(
        canaries=canaries,
        reveal=reveal,
        plural=plural,
        bound=bound,
        lines=lines,
        bands=[(band, told.table(canaries, band)) for band in canaries.bands[1:]],
        counted=told.any_counted(lines),
        rows=single,
        edges=canaries.spec.get("bands") or [],
        settings=_settings(canaries),
        svg=lambda figure: Markup(figure.svg),
        style=Markup("".join(asset(name) for name in ("report.css", "rows.css", "study.css", "forget.css"))),
        scripts=[Markup(script) for script in scripts],
        hashes=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        specs=embedded({figure.name: figure.spec for figure in figures.values() if figure is not None}),
        **figures,
    )


def _secrets(run: Run) -> dict[str, str]:
    return run.read_json("secrets.json") if run.has("secrets.json") else {}


def _settings(canaries: Canaries) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was asked, as titled lists of names and values."""
    spec = canaries.spec
    planted: dict[str, Any] = spec.get("planted") or {}
    things = [
        (role, f"{one['name']}, fingerprint {one['fingerprint']}")
        for role, one in (spec.get("models") or {}).items()
        if one
    ]
    things += [
        (name, f"{planted[name]['name']}, {planted[name]['rows']:,} rows")
        for name in ("data", "written")
        if name in planted
    ]
    things.append(("copies", ", ".join(map(str, planted.get("copies") or ()))))
    return [
        ("Models and data", things),
        ("Settings", [(k.replace("_", " "), _value(v)) for k, v in (spec.get("settings") or {}).items()]),
        ("Versions", [(k, str(v)) for k, v in (spec.get("versions") or {}).items()]),
    ]


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "not given", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
