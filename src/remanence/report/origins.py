"""Attribution of words to sources, thresholds of the null calibration, and the texts, most surprising first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from remanence.measure.plagiarism.types import KINDS as STRENGTH
from remanence.measure.plagiarism.types import ORIGINS
from remanence.report.audit import Audit
from remanence.report.sections import Cell
from remanence.report.words import KINDS, Line, percent, span

NAMES = {
    "prompt": ("From the prompt", "runs of four or more words of the prompt: copied, not memorized"),
    "common": ("Common phrase", "held-out texts contain it too"),
    "own": ("Prompted row", "match with the training row that was prompted"),
    "both": ("Prompted row and another", "match with both"),
    "other": ("Another row", "match with a training row that was not prompted"),
    "new": ("New", "or paraphrased, or not above the threshold"),
}
"""Name and explanation of each source, in the order of the bar."""

SIDES = {
    "tuned": ("said", "tuned", "train"),
    "floor": ("said", "tuned", "heldout"),
    "base": ("said", "base", "train"),
    "ceiling": ("ceiling", "tuned", "train"),
}
"""Group of texts to (side of `origins`, target and group of `attempts`)."""


SHORT = {"floor": "Floor", "base": "Base model", "ceiling": "Ceiling"}


@dataclass(frozen=True)
class Part:
    """A piece of the bar."""

    origin: str
    name: str
    words: int
    width: float
    """Per cent of the bar."""
    share: str
    about: str


@dataclass(frozen=True)
class Shares:
    """Attribution of the words of a group of texts."""

    who: str
    name: str
    short: str
    num_texts: int
    num_words: int
    parts: list[Part]


def shares(audit: Audit) -> list[Shares]:
    """One bar for each group of texts; none if the detector does not attribute words."""
    if (audit.spec.get("settings") or {}).get("detector") == "pan2015":
        return []
    asked = audit.asked()
    sides, names = SIDES, NAMES
    if audit.is_match:
        sides = {"tuned": ("said", "given", "generated")}
        if not any(line["own"] or line["both"] or line["idea_p"] is not None for line in audit.origins):
            names = {name: about for name, about in NAMES.items() if name not in {"own", "both"}}
            names["other"] = ("Training row", "match with a training row")  # no prompted row is known
    bars: list[Shares] = []
    for who, (side, target, group) in sides.items():
        here = [
            line
            for line in audit.origins
            if line["side"] == side
            and (asked[line["attempt"]]["target"], asked[line["attempt"]]["group"]) == (target, group)
        ]
        total = sum(line["num_words"] for line in here)
        if not total:
            continue
        counts = {origin: sum(line[origin] for line in here) for origin in ORIGINS}
        parts = [
            Part(
                origin,
                name,
                counts[origin],
                round(100 * counts[origin] / total, 3),
                percent(counts[origin] / total),
                about,
            )
            for origin, (name, about) in names.items()
        ]
        short = f"Your {audit.unit}s" if who == "tuned" else SHORT[who]
        bars.append(Shares(who, audit.who[who], short, len(here), total, parts))
    return bars


@dataclass(frozen=True)
class Calibration:
    """Thresholds in bits by kind, length and false-positive rate, and the measured false-positive rates."""

    alphas: list[str]
    kinds: list[tuple[str, list[Cell | None], list[tuple[str, list[Cell | None]]]]]
    """(kind, measured rate at each alpha, [(length, threshold at each alpha; None = too few held-out texts)])."""
    remarks: list[str]


def calibration(audit: Audit) -> Calibration | None:
    """The section, or None without held-out texts."""
    if not audit.calibration:
        return None
    asked_for = (audit.spec.get("settings") or {}).get("alpha")
    alphas = sorted({line["alpha"] for line in audit.calibration})
    kinds: list[tuple[str, list[Cell | None], list[tuple[str, list[Cell | None]]]]] = []
    remarks: list[str] = []
    for kind in dict.fromkeys(str(line["kind"]) for line in audit.calibration):
        lines = {(line["num_words"], line["alpha"]): line for line in audit.calibration if line["kind"] == kind}
        lengths = sorted({num_words for num_words, _ in lines})
        any_of = {alpha: next((line for (_, a), line in lines.items() if a == alpha), None) for alpha in alphas}
        rows: list[tuple[str, list[Cell | None]]] = []
        for place, length in enumerate(lengths):
            first = 1 if place == 0 else lengths[place - 1] + 1
            name = f"{first} words or more" if place == len(lengths) - 1 else f"{first} to {length} words"
            rows.append((name, [_threshold(lines.get((length, alpha))) for alpha in alphas]))
        kinds.append((KINDS.get(kind, kind), [_realised(line) for line in any_of.values()], rows))
    refused = [line for line in audit.calibration if line["reason"]]
    for alpha in alphas:  # of the missing thresholds, the one with the most held-out pieces
        nearest = max((x for x in refused if x["alpha"] == alpha), key=lambda x: x["num_null"], default=None)
        remarks += [f"no threshold: {nearest['reason']}"] if nearest else []
    if any(line["few"] and line["bits"] is not None for line in audit.calibration):
        remarks.append("few: fewer than ten held-out pieces are above this threshold, so it is imprecise")
    heads = [f"{100 * alpha:g}\u00a0%{' (requested)' if alpha == asked_for else ''}" for alpha in alphas]
    return Calibration(heads, kinds, remarks)


def calibration_line(audit: Audit) -> str:
    """One sentence with the requested and the measured false-positive rate. Empty without held-out texts."""
    alpha = (audit.spec.get("settings") or {}).get("alpha")
    measured: list[str] = []
    for kind in ("verbatim", "paraphrase"):
        line = next((x for x in audit.calibration if x["kind"] == kind and x["alpha"] == alpha), None)
        rate = _realised(line)
        if rate is not None:
            measured.append(f"{rate.count} ({rate.rate}, {rate.interval}) as {KINDS[kind].lower()}")
    if not measured or alpha is None:
        return ""
    return (
        f"Thresholds are set to flag {100 * alpha:g} % of held-out texts; thresholds from one half of them flag "
        f"{', '.join(measured)} in the other half."
    )


def _threshold(line: Line | None) -> Cell | None:
    if line is None or line["bits"] is None:
        return None
    return Cell(f"{line['bits']:.0f} bits", "", f"{line['num_null']:,} pieces{', few' if line['few'] else ''}")


def _realised(line: Line | None) -> Cell | None:
    if line is None or not line["realised_n"]:
        return None
    hits, n = line["realised_hits"], line["realised_n"]
    return Cell(percent(hits / n), span(line["realised_low"], line["realised_high"]), f"{hits:,} of {n:,}")


def texts(audit: Audit) -> list[dict[str, Any]]:
    """The judged texts of a match, most surprising first: labelled ones by p-value, then bits; unmeasurable ones last.

    `found` is the kind, "none" or "not measurable"; `copied` is the share of words in verbatim matches.
    """
    asked = audit.asked()
    first: dict[int, list[Line]] = {}
    for line in audit.run.read_table("matches").drop_columns(["record_text"]).to_pylist() if audit.origins else []:
        first.setdefault(line["attempt"], []).append(line)
    has_shares = bool(shares(audit))
    judged: list[dict[str, Any]] = []
    for line in audit.origins:
        matches = first.get(line["attempt"], [])
        best = matches[0] if matches else None
        stands_out = line["q_value"] if line["label"] in {"verbatim", None} else None  # q-values are for verbatim bits
        num, copied = line["num_words"], line["own"] + line["both"] + line["other"]
        judged.append({
            "attempt": line["attempt"], "id": asked[line["attempt"]]["id"], "num_words": num,
            "found": "not measurable" if line["reason"] else line["label"] or "none",
            "bits": line["bits"] if best is None or best["bits"] is None else best["bits"],
            "p_value": line["p_value"] if best is None else best["p_value"], "q_value": stands_out,
            "train_id": None if best is None else best["train_id"],
            "whose": None if best is None else best["whose"],
            "rows": len({m["train_row"] for m in matches}), "copied": copied / num if has_shares and num else None,
        })  # fmt: skip
    if not has_shares:
        for line in judged:
            line |= {"bits": None, "p_value": None}
    judged.sort(key=_surprise)
    return [{"rank": rank, **line} for rank, line in enumerate(judged, start=1)]


def _surprise(line: Line) -> tuple[Any, ...]:
    p = math.inf if line["p_value"] is None else line["p_value"]
    strength = STRENGTH.index(line["found"]) if line["found"] in STRENGTH else len(STRENGTH)
    order = (line["found"] == "not measurable", line["found"] == "none")
    return (*order, p, -(line["bits"] or 0.0), strength, line["attempt"])
