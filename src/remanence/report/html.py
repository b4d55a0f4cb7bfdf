"""The report: one HTML file that starts with the verdict and needs neither network nor model.

Everything is inside the file. Its content-security policy forbids the browser to load anything and to run any script
except the report's own, identified by their hashes, so that training text is never executed.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from remanence.core.run import Run
from remanence.report import origins, sections
from remanence.report.audit import Audit
from remanence.report.canaries_page import canaries_page
from remanence.report.charts import rates_figure
from remanence.report.columns import columns
from remanence.report.drawing import Figure
from remanence.report.evidence import evidence, text_evidence
from remanence.report.forget_page import forget_page
from remanence.report.page import asset, bundle, embedded
from remanence.report.study_page import study_page
from remanence.report.system_page import system_page
from remanence.report.words import Line, bound, plural

CHUNK = 100
"""Number of rows of evidence in one block; a block is parsed when one of its rows is opened."""

MOST = 2000
"""Maximum number of texts of a match with evidence in the file, most surprising first; others have only numbers."""

ROWS = 5000
"""Maximum number of rows of an audit in the file, worst first; the tables of the run have all."""

COLUMNS = ("rank", "id", "comes_back", "shortest_prefix", "longest_run", "strength", "log_p", "queries", "p_value",
           "q_value", "copies", "near", "num_supervised")  # fmt: skip

TEXT_COLUMNS = ("rank", "id", "found", "bits", "p_value", "q_value", "copied", "num_words", "train_id", "whose", "rows")


def write_report(run: Run, *, reveal: bool = False) -> Path:
    """Write `report.html` into the run folder. Without `reveal` no training text is in the file, only its shape."""
    pages = {"study": study_page, "forget": forget_page, "canaries": canaries_page, "run": system_page}
    job = run.spec.get("job")
    if job in pages:
        run.write_text("report.html", pages[job](run, reveal=reveal))
    else:
        run.write_text("report.html", render(Audit.read(run), reveal=reveal))
    return run.folder / "report.html"


def render(audit: Audit, *, reveal: bool = False) -> str:
    """The whole page."""
    all_rates = audit.main_rates()
    first = rates_figure(all_rates, audit.who)
    page = _match_page(audit, reveal) if audit.is_match else _audit_page(audit, reveal)
    figures: list[Figure | None] = [first, *page.pop("figures")]
    scripts = [bundle(), asset("page.js"), asset("cards.js"), asset("rows.js")]
    assert not any("</script" in script for script in scripts)
    pages = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.get_template("match.html.j2" if audit.is_match else "report.html.j2").render(
        audit=audit,
        reveal=reveal,
        plural=plural,
        bound=bound,
        headline=sections.headline(audit),
        rates=sections.rate_rows(all_rates),
        rates_figure=first,
        shares=origins.shares(audit),
        calibration=origins.calibration(audit),
        calibration_line=origins.calibration_line(audit),
        methods=sections.methods(audit),
        settings=sections.settings(audit),
        svg=_svg,
        style=Markup(asset("report.css") + asset("rows.css")),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        specs=embedded({f.name: f.spec for f in figures if f is not None}),
        **page,
    )


def _audit_page(audit: Audit, reveal: bool) -> dict[str, Any]:
    """The template variables of an audit."""
    shown, folded = sections.curves(audit)
    by_column = columns(audit)
    breakdowns = sections.breakdowns(audit)
    members = sections.membership(audit)
    return {
        "columns": by_column,
        "curves": shown,
        "more_curves": folded,
        "breakdowns": breakdowns,
        "membership": members,
        "figures": [
            *(figure for column in by_column for figure in column.figures),
            *shown,
            *folded,
            *(b["figure"] for b in breakdowns),
            members.figure if members else None,
        ],
        "left_out": audit.num_ranked - min(ROWS, len(audit.ranking)),
        "rows": _columns(COLUMNS, audit.ranking[:ROWS]),
        "evidence": list(_chunks(evidence(audit, audit.ranking[:ROWS], reveal=reveal))),
    }


def _match_page(audit: Audit, reveal: bool) -> dict[str, Any]:
    """The template variables of a match."""
    texts = origins.texts(audit)
    numbers = [line["attempt"] for line in texts[:MOST]]
    return {
        "figures": [],
        "texts": texts,
        "most": MOST,
        "rows": _columns(TEXT_COLUMNS, texts),
        "evidence": list(_chunks(text_evidence(audit, numbers, reveal=reveal))),
    }


def _columns(names: Sequence[str], lines: Sequence[Line]) -> Markup:
    return embedded({name: [_plain(line[name]) for line in lines] for name in names})


def _chunks(found: list[dict[str, Any] | None]) -> Iterator[Markup]:
    for start in range(0, len(found), CHUNK):
        yield embedded(found[start : start + CHUNK])


def _plain(value: Any) -> Any:
    """A value for JSON: infinity becomes "inf", NaN becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _svg(figure: Figure) -> Markup:
    return Markup(figure.svg)


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
