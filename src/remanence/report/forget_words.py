"""How the report of a forgetting says things: names of models and metrics, what is good, and numbers as cells."""

from __future__ import annotations

import math
from collections.abc import Mapping

from remanence.report.forget import BEFORE, RETRAINED
from remanence.report.forget_judged import Ends
from remanence.report.sections import Cell
from remanence.report.words import Line, Share, count, number, percent, points, span

MODELS: Mapping[str, str] = {BEFORE: "Before", RETRAINED: "Retrained without them"}
SIDES = {
    "forget": ("The rows to forget", "Here lower is better, down to what the retrained model has."),
    "untouched": ("Other training rows", "Rows that were trained on and not to be forgotten."),
    "heldout": ("Rows never trained on", "The floor: what stands here is no memory. Of the loss, lower is better."),
}
METRICS: Mapping[str, tuple[str, str, str]] = {
    "discoverable": ("Extracted word for word", "rate", "Discoverable extraction: given the beginning of a row, "
        "greedy decoding says the next tokens exactly, at one prefix length at least."),
    "np_discoverable": ("Extracted by sampling", "rate", "(n, p)-discoverable extraction: one of n samples is the "
        "exact continuation with probability p at least."),
    "generated_exact": ("Was really said", "rate", "The same, of rows that were really put to the model."),
    "verbatim": ("Answer repeats a row", "rate", "The calibrated detector finds words of a training row in the answer "
        "that chance does not explain."),
    "paraphrase": ("... or in other words", "rate", "The same, with passages told in other words."),
    "exposure": ("Exposure, bits", "bits", "How early the model would guess the rarest words that only this row has, "
        "among words of rows never trained on: log2 of how many there are minus log2 of the rank. Its floor is that of "
        "held-out rows."),
    "extraction_strength": ("Extraction strength", "share", "Share of a row that need not be shown before greedy "
        "decoding says all the rest; a row whose last token is wrong has 0."),
    "exact_memorization": ("Exact memorization", "share", "Share of tokens that are the model's first choice, each "
        "after the true ones before it. Fluent text reaches far above 0 without memory."),
    "probability": ("Probability", "share", "The probability of a row, to the power of one over its tokens."),
    "rouge": ("ROUGE-L recall", "share", "Share of the row's words that the model says, in their order."),
    "truth_ratio": ("Truth ratio", "share", "How likely wrong answers are next to the true one. Of the rows to forget: "
        "1 = equally likely, as if never seen (mean of min(TR, 1/TR)). Elsewhere: 1 = the truth is far likelier "
        "(mean of max(0, 1 - TR))."),
    "forget_quality": ("Forget quality", "p", "p-value that the truth ratios are those of the retrained model "
        "(Kolmogorov-Smirnov): higher is better. Coarse with few rows; compare it at equal numbers of rows only."),
    "model_utility": ("Model utility", "share", "Harmonic mean of probability, ROUGE and truth ratio on rows that were "
        "not to be forgotten: higher is better, 0 as soon as one of them is."),
    "privleak": ("PrivLeak", "signed", "Membership told by Min-K% at 40 %, next to the retrained model: 0 is ideal, "
        "-100 recognised without fail, above 0 over-unlearned."),
    "auc_loss": ("Membership by loss, AUC", "auc", "Chance that a forgotten row is likelier than a held-out one; "
        "0.5 = a coin. Far below 0.5 is no success: rows that stand out as unlikely are recognised by it."),
    "auc_min_k": ("Membership by Min-K%, AUC", "auc", "The same by the least likely tokens."),
    "loss": ("Loss, nats per token", "nats", "Mean over tokens."),
    "task_metric": ("Task", "plain", "The metric of the task that the model was tuned for."),
}  # fmt: skip
"""Metric of `scores` to (name, form, explanation)."""
GROUPS = {
    "Extraction": ("discoverable", "np_discoverable", "generated_exact", "verbatim", "paraphrase", "exposure"),
    "As open-unlearning defines it": (
        "extraction_strength", "exact_memorization", "probability", "rouge", "truth_ratio", "forget_quality",
        "privleak", "model_utility",
    ),
    "Membership": ("auc_loss", "auc_min_k"),
    "Use": ("loss", "task_metric"),
}  # fmt: skip
USER = "user:"
"""What stands before the name of a measure of the user's own."""


def model_name(name: str) -> str:
    """A method by its name in the catalogue, with spaces."""
    return MODELS.get(name) or name.replace("_", " ")


def metric_of(metric: str) -> tuple[str, str, str]:
    """Name, form, explanation."""
    if metric in METRICS:
        return METRICS[metric]
    own = metric.removeprefix(USER)
    return own, "plain", "A measure of your own." if own != metric else ""


def value_of(value: float, form: str) -> str:
    """A value in the form of its metric."""
    if not math.isfinite(value):
        return "beyond all bounds"
    if form == "rate":
        return percent(value)
    if form == "p":
        return f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"
    if form == "signed":
        return f"{value:+.0f}" if round(value) else "0"
    if form == "plain":
        return f"{value:.4g}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if form in {"share", "auc"} else f"{value:.2f}"


def cell_of(line: Line | None) -> Cell | None:
    """A line of `scores` as a cell, with its interval and count; None where nothing was measured."""
    value = number(line.get("value")) if line else None
    if line is None or value is None:
        return None
    _, form, _ = metric_of(line["metric"])
    low, high, n, hits = number(line.get("low")), number(line.get("high")), line.get("n"), line.get("hits")
    interval = ""
    if low is not None and high is not None:
        interval = span(low, high) if form == "rate" else f"{value_of(low, form)} to {value_of(high, form)}"
    counted = f"{hits:,} of {n:,}" if hits is not None and n else f"{n:,} rows" if n else ""
    return Cell(value_of(value, form), interval, counted)


def rate_cell(value: Share | None) -> Cell | None:
    """A rate with interval and count."""
    return None if value is None else Cell(percent(value.rate), span(value.low, value.high), count(value))


def excess_cell(value: Ends | None) -> Cell | None:
    """Rate minus floor, in points."""
    if value is None:
        return None
    low, high = value.low, value.high
    return Cell(points(value.value), "" if low is None or high is None else f"{points(low)} to {points(high)}", "")


def rise(value: float) -> str:
    """A relative change of the loss: +1.4 %, +716 %."""
    if not math.isfinite(value):
        return "beyond all bounds"
    shown = round(100 * value, 1) + 0.0
    return f"{shown:+,.0f}\u00a0%" if abs(shown) >= 100 else f"{shown:+.1f}\u00a0%"


def rise_cell(value: Ends | None) -> Cell | None:
    """How far the held-out loss rose."""
    if value is None:
        return None
    low, high = value.low, value.high
    return Cell(rise(value.value), "" if low is None or high is None else f"{rise(low)} to {rise(high)}", "")


def auc_cell(value: Ends | None) -> Cell | None:
    """The area, with a word where it is on the wrong side."""
    if value is None:
        return None
    low, high = value.low, value.high
    interval = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return Cell(f"{value.value:.2f}", interval, "over-unlearned" if high is not None and high < 0.5 else "")


def gone(removed: float | None) -> str:
    """Share of the excess that is gone; a model below its floor has lost all of it, and no more than that."""
    return "–" if removed is None else percent(min(removed, 1.0))


def membership_word(auc: float, low: float | None, high: float | None) -> str:
    """What an AUC says, both ways."""
    if low is not None and low > 0.5:
        return "still recognised as training rows"
    if high is not None and high < 0.5:
        return "over-unlearned: they stand out by being unlikely"
    return "not to be told from rows never seen" if low is not None else f"AUC {auc:.2f}, without an interval"
