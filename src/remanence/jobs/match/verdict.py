"""What a match comes to: rates against floor and ceiling, two sentences, and what must not be concluded from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.engine.origins import flags
from remanence.engine.rates import rate_line
from remanence.jobs.match.settings import MatchSettings
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration, e_value_threshold
from remanence.measure.plagiarism.types import KINDS, ORIGINS
from remanence.stats.rates import compare

Lines = Sequence[dict[str, Any]]

_SHARES = {
    "prompt": "are from the prompt",
    "common": "are common phrases",
    "own": "match the prompted row",
    "both": "match the prompted row and another",
    "other": "match a training row",
    "new": "are new or below the threshold",
}


_WHY = {
    "it has no words": "they have no words",
    "too few held-out texts set a threshold for texts of its length": "too few held-out texts are as long as they are",
}


def rate_lines(lines: Lines, floor: Lines | None, ceiling: Lines) -> list[dict[str, Any]]:
    """The lines of `rates.parquet`: each kind with all stronger ones.

    Ideas have no floor here: a held-out text was not asked about any row. An audit has one.
    """
    found: list[dict[str, Any]] = []
    for order, kind in enumerate(KINDS):
        result = compare(
            _known(flags(lines, kind)),
            floor=None if floor is None or kind == "idea" else _known(flags(floor, kind)),
            ceiling=_known(flags(ceiling, "verbatim")),
        )
        found.append(rate_line("match", "kind", kind, order, result, None))
    return found


def verdict(
    lines: Lines,
    matches: Lines,
    rates: Lines,
    calibration: NullCalibration | None,
    index: PlagiarismIndex,
    settings: MatchSettings,
    *,
    asked: bool,
) -> dict[str, Any]:
    """`verdict.json`; `asked`: of some text it is known which training row it was asked about."""
    shares = {name: sum(line[name] for line in lines) for name in ORIGINS}
    headline = {name: rates[0][name] for name in ("hits", "n", "rate", "low", "high", "excess", "excess_low")}
    rows = {match["train_row"] for match in matches}
    return {
        "sentences": [_first(len(lines), rates, len(rows)), _second(shares, settings)],
        "headline": {"metric": "match", **headline, "kinds": {r["value"]: r["hits"] for r in rates}},
        "origins": shares,
        "cannot_claim": _cannot_claim(calibration, index, settings),
        "notes": _notes(lines, calibration, index, settings, asked=asked),
        "fail_if": None,
    }


def _first(num: int, rates: Lines, num_rows: int) -> str:
    line, wide = rates[0], rates[1]
    if not line["n"]:
        return f"None of the {num:,} texts could be judged."
    of = f"{line['n']:,} texts" if line["n"] == num else f"{line['n']:,} texts that can be judged (of {num:,})"
    said = f"{line['hits']:,} of {of} have verbatim matches with training rows ({_percent(line)}"
    said += f", 95 % interval {100 * line['low']:.1f} to {100 * line['high']:.1f})"
    if wide["hits"] > line["hits"]:
        said += f", {wide['hits'] - line['hits']:,} more as paraphrases"
    if line["floor_n"]:
        said += f"; {100 * line['floor_rate']:.1f} % of {line['floor_n']:,} held-out texts do"
    if line["hits"]:
        said += f"; all matches come from {num_rows:,} training {'row' if num_rows == 1 else 'rows'}"
    return f"{said}."


def _second(shares: dict[str, int], settings: MatchSettings) -> str:
    total = sum(shares.values())
    if settings.detector == "pan2015":
        return f"The published detector does not attribute the {total:,} words."
    if not total:
        return "The texts have no words."
    told = [f"{100 * n / total:.1f} % {_SHARES[name]}" for name, n in shares.items() if n]
    return f"Of {total:,} words, {', '.join(told)}."


def _enough(index: PlagiarismIndex, settings: MatchSettings) -> float:
    return float(e_value_threshold(settings.alpha, np.array([100]), index.runs.num_words)[0])


def _cannot_claim(calibration: NullCalibration | None, index: PlagiarismIndex, settings: MatchSettings) -> list[str]:
    if settings.detector == "pan2015":
        return [
            "This is the published detector: it has no false-positive rate, it counts copies of the prompt, and it "
            "counts texts that it cannot judge as zeros. Use --detector calibrated for a verdict."
        ]
    if calibration is None:
        return [
            "No held-out texts were given, so there is no null calibration and no floor: many of these matches may be "
            "due to chance. Their E-value under the background model is at most --alpha, but stock phrases reach that "
            "too (on eleven real data sets 1 % of held-out texts have 29 to 224 bits or more in common with the "
            f"corpus; here {_enough(index, settings):.0f} bits are enough for a text of 100 words). Add --heldout with "
            "texts of the same kind that were not trained on."
        ]
    return [
        f"At {100 * settings.alpha:g} % there is no threshold for {why}."
        for why in dict.fromkeys(calibration.missing_thresholds("verbatim", settings.alpha))
    ]


def _notes(
    lines: Lines, calibration: NullCalibration | None, index: PlagiarismIndex, settings: MatchSettings, *, asked: bool
) -> list[str]:
    notes: list[str] = []
    silent = [line["reason"] for line in lines if line["reason"]]
    if silent:
        told = Counter(_WHY.get(reason, "their words have too few bits for the threshold") for reason in silent)
        why = "; ".join(f"{count:,} because {reason}" for reason, count in told.items())
        are = "text is" if len(silent) == 1 else "texts are"
        notes.append(f"{len(silent):,} {are} not measurable and not counted: {why}.")
    if calibration is not None and (rate := calibration.false_positive_rate("verbatim", settings.alpha)).n:
        notes.append(
            f"Thresholds are set to flag {100 * settings.alpha:g} % of held-out texts; {rate.hits:,} of {rate.n:,} "
            f"({100 * rate.rate:.1f} %, {100 * rate.low:.1f} to {100 * rate.high:.1f}) are flagged by thresholds "
            "from the other half of the held-out texts."
        )
    if calibration is not None:
        if calibration.num_quoting:
            notes.append(
                f"{calibration.num_quoting:,} of {calibration.num_heldout:,} held-out texts quote a training row (half "
                "of their runs of 5 words are in one row) and are left out."
            )
        if calibration.rests_on_few("verbatim", settings.alpha):
            notes.append("A threshold has fewer than ten held-out pieces above it, so it is imprecise.")
    if not asked and settings.detector == "calibrated":
        notes.append(
            f"No text names its prompted training row in a column {settings.source_column!r}, so ideas were not tested."
        )
    copies = index.runs.num_records - index.runs.num_distinct
    if copies:
        notes.append(f"{copies:,} of {index.runs.num_records:,} training rows are exact copies or empty.")
    return notes


def _known(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return values[~np.isnan(values)] > 0.5


def _percent(line: dict[str, Any]) -> str:
    return f"{100 * line['rate']:.1f} %"
