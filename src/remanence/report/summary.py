"""The verdict of a run as Markdown, for a pull request or the summary page of a CI job.

It shows ids of rows, but no training text. Markup in ids and sentences is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.report.words import visible

SIDES = {
    "": "training rows",
    "floor": "held-out rows (the floor)",
    "base": "training rows, base model",
}
"""Names of the headline rates in the table."""
WORST = 20
"""Maximum number of rows listed."""
_MARKUP = re.compile(r"([\\`*_\[\]<>#|~&@])")


def markdown(run: Run) -> str:
    """The summary. Raises `RemanenceError` for a run without a verdict."""
    if not run.has("verdict.json"):
        raise RemanenceError(f"{run.folder.name} has no verdict: the run was not finished; add --resume.")
    verdict: dict[str, Any] = run.read_json("verdict.json")
    sentences: list[str] = verdict["sentences"]
    parts = [f"### {_title(run, verdict)}", f"**{plain(sentences[0])}**", *map(plain, sentences[1:])]
    if (headline := verdict.get("headline")) and headline.get("n"):
        parts.append(_table(("", "extracted", "rate", "95 % interval"), list(_rates(headline))))
    if run.has("ranking.parquet"):
        parts += _worst(run)
    if judged := verdict.get("judged"):
        parts.append(_methods(verdict["before"], judged, verdict["recommended"].get("method")))
    remarks = [*(verdict.get("cannot_claim") or []), *(verdict.get("notes") or [])]
    parts += ["\n".join(f"- {plain(remark)}" for remark in remarks)] if remarks else []
    return "\n\n".join(parts) + "\n"


def append_summary(run: Run, path: Path | str) -> None:
    """Append the summary to a file, such as `$GITHUB_STEP_SUMMARY`; the file is created if it does not exist."""
    path = Path(path)
    text = markdown(run)
    try:
        with path.open("a", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        raise RemanenceError(f"Cannot write the summary to {path}: {error.strerror}.") from error


def plain(text: str) -> str:
    """Text as one line with Markdown markup and mentions escaped."""
    return _MARKUP.sub(r"\\\1", " ".join(visible(text).split()))


def _title(run: Run, verdict: Mapping[str, Any]) -> str:
    gate = verdict.get("fail_if")
    if gate:
        word = {True: "failed", False: "passed", None: "undecided"}[gate["failed"]]
        return f"Memorization gate {word}: {plain(gate['rule'])}"
    if "reached" in verdict:
        return f"Forgetting: goal {'reached' if verdict['reached'] else 'not reached'}"
    return f"Memorization {plain(str(run.spec.get('job')))}"


def _rates(headline: Mapping[str, Any]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for key, name in SIDES.items():
        side: Any = headline.get(key) if key else headline
        if side and side["n"]:
            count = f"{side['hits']:,} of {side['n']:,}"
            lines.append((name, count, f"{100 * side['rate']:.1f} %", _span(side["low"], side["high"])))
    for key, name in (("excess", "above the floor"), ("over_base", "above the base model")):
        if headline.get(key) is not None:
            ends = _span(headline[f"{key}_low"], headline[f"{key}_high"])
            lines.append((name, "", f"{100 * headline[key]:+.1f} points", ends))
    return lines


def _worst(run: Run) -> list[str]:
    extracted = [line for line in run.lines("ranking") if line["comes_back"]]
    if not extracted:
        return []
    lines = [
        (plain(line["id"]), str(line["shortest_prefix"]), str(line["longest_run"]), str(line["copies"]))
        for line in extracted[:WORST]
    ]
    total = run.read_json("verdict.json")["headline"]["hits"] if "stream" in run.spec else len(extracted)
    shown = f"{len(lines)} of {total:,}" if len(lines) < total else f"{total:,}"
    table = _table(("row", "extracted after, tokens", "longest run, tokens", "copies"), lines)
    return [f"<details><summary>Extracted rows, worst first ({shown})</summary>\n\n{table}\n\n</details>"]


def _methods(before: Mapping[str, Any], judged: Mapping[str, Mapping[str, Any]], chosen: str | None) -> str:
    lines = [("unchanged model", f"{before['hits']:,} of {before['n']:,}", "", "", _area(before))]
    for name, result in judged.items():
        removed = "" if result["removed"] is None else f"{100 * result['removed']:.1f} %"
        rise = "" if result["rise"] is None else f"{100 * result['rise']:+.1f} %"
        title = f"**{plain(name)}** (recommended)" if name == chosen else plain(name)
        lines.append((title, f"{result['hits']:,} of {result['n']:,}", removed, rise, _area(result)))
    return _table(("model", "extracted", "removed", "held-out loss", "membership AUC"), lines)


def _area(result: Mapping[str, Any]) -> str:
    if result.get("auc") is None:
        return ""
    return f"{result['auc']:.2f} ({result['auc_low']:.2f} to {result['auc_high']:.2f})"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = "|".join(["---", *["--:"] * (len(head) - 1)])
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)])


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"
