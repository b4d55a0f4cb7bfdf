"""How the report says things: numbers a person reads at once, and each measure explained in a sentence or two."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

Line = Mapping[str, Any]
"""One line of a table of the run, or one object of its JSON."""

WHO = {
    "tuned": "Fine-tuned model, your rows",
    "floor": "Fine-tuned model, rows it never saw",
    "base": "Base model, your rows",
    "ceiling": "Ceiling: the rows themselves",
}
"""What a rate is held against, under the same names and colours throughout."""

TEXTS = {
    "tuned": "Your texts",
    "floor": "Held-out texts",
    "base": "Base model",
    "ceiling": "Ceiling: copies of training rows",
}
"""The same where there are only texts and no model."""

MODELS = {"tuned": "Fine-tuned model", "base": "Base model", "blind": "Blind guess that sees no model"}
"""What tells training rows from held-out ones."""

KINDS = {"verbatim": "Word for word", "paraphrase": "In other words", "idea": "The idea"}
"""Kind of a match to its name."""

NESTED = {
    "verbatim": "Repeats rows word for word",
    "paraphrase": "... or in other words",
    "idea": "... or the idea",
}
"""Rates of matches, each kind with all stronger ones."""

METRICS = {
    "greedy": (
        "Comes back word for word",
        "Discoverable extraction: the model is given the beginning of a row and decodes greedily. The row counts if "
        "the next tokens come out exactly as they stand in the row, for at least one prefix length.",
    ),
    "np": (
        "Comes back when sampled",
        "(n, p)-discoverable extraction: the row counts if at least one of n samples is its exact continuation with "
        "probability p or more. Computed in closed form from the model's own probabilities, so nothing is drawn.",
    ),
    "span": (
        "Shares a long span",
        "The row counts if the model's answer shares a long run of tokens with the rest of the row; spans that "
        "already stood in the prompt do not count, because copying is not memory.",
    ),
    "strength": (
        "Extraction strength",
        "The share of a row that need not be given away before greedy decoding completes all the rest of it.",
    ),
    "verbatim": (
        "Word for word",
        "Every run of words that a text shares with any training row, runs of one row chained over small gaps. It "
        "counts when its words are more surprising, in bits, than what all but a stated share of held-out texts of "
        "that length have in common with the training rows. What stood in the prompt and what held-out texts say too "
        "is taken out first.",
    ),
    "paraphrase": (
        "In other words",
        "A passage whose words stand in one passage of a training row in another order or with others between them: "
        "sentence alignment over the rows that retrieval brings up, with a threshold from held-out texts as well.",
    ),
    "idea": (
        "The idea",
        "The text is closer to the row it was asked about than to rows with similar prompts. Asked only where nothing "
        "stronger was found and the row is known; the p-value is the row's rank among those decoys.",
    ),
    "bits": (
        "Bits, E-value, p-value",
        "Bits say how unlikely the shared words are by a background model of the language. The E-value says how many "
        "matches as surprising chance brings over the whole corpus. The p-value is the share of held-out texts that "
        "reach as much, and it alone decides.",
    ),
}
"""Metric of `rates` to (name, explanation)."""

MEASURES = {
    "loss": ("Loss", "How likely the model finds the row on average. Training rows tend to be likelier."),
    "zlib": ("zlib ratio", "Loss set against how well the text compresses, so that dull text does not look known."),
    "mink": ("Min-K%", "Only the least likely tokens of the row: in unseen text even these are rarer."),
    "minkpp": ("Min-K%++", "Min-K% with each token measured against what the model expected at that place."),
    "reference": ("Reference ratio", "Loss compared with the base model's on the same row: what fine-tuning added."),
    "blind": ("Blind baseline", "Guesses from the words alone and never sees a model. Where it does well, training and "
              "held-out rows simply differ, and no score should be read as memory."),
}  # fmt: skip
"""Likelihood measure, folded to bare letters, to (name, explanation)."""

_FOLDS = {
    "minkplusplus": "minkpp",
    "refratio": "reference",
    "ratio": "reference",
    "zlibratio": "zlib",
    "bagofwords": "blind",
}


class Share(NamedTuple):
    """A rate with its count and 95 % interval."""

    hits: int
    n: int
    rate: float
    low: float
    high: float


def share(line: Line | None, prefix: str = "") -> Share | None:
    """The rate that stands in `line` under a prefix such as "floor_"; None where it was not given or has no rows."""
    if not line or not line.get(f"{prefix}n"):
        return None
    rate = number(line.get(f"{prefix}rate"))
    if rate is None:
        return None
    low, high = number(line.get(f"{prefix}low")), number(line.get(f"{prefix}high"))
    return Share(
        int(line[f"{prefix}hits"]),
        int(line[f"{prefix}n"]),
        rate,
        rate if low is None else low,
        rate if high is None else high,
    )


def number(value: Any) -> float | None:
    """A finite float, or None for null and NaN (an infinity stays)."""
    return None if value is None or math.isnan(value) else float(value)


def figure(rate: float) -> str:
    """A rate in per cent without its sign: 3.7, 0.04, 0, 100. Only a true 0 or 1 is ever written 0 or 100."""
    value = 100 * rate
    if value in (0, 100):
        return f"{value:.0f}"
    if abs(value) < 0.095:
        return f"{value:.1g}" if abs(value) >= 0.0001 else f"{value:.0e}"
    return f"{math.copysign(min(abs(value), 99.9), value):.1f}"


def percent(rate: float) -> str:
    """3.7 %, with a space that does not break."""
    return f"{figure(rate)}\u00a0%"


def span(low: float, high: float) -> str:
    """An interval in per cent: 2.6 to 5.1."""
    return f"{figure(low)} to {figure(high)}"


def points(difference: float) -> str:
    """A difference of rates in percentage points, always with its sign: +3.6."""
    return f"{figure(difference)}" if difference < 0 else f"+{figure(difference)}"


def count(share: Share) -> str:
    """37 of 1,000."""
    return f"{share.hits:,} of {share.n:,}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """1 row, 1,200 rows."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def bound(sentence: str) -> str:
    """A sentence in which no line breaks between a number and its per cent sign."""
    return sentence.replace(" %", "\u00a0%")


def metric_name(line: Line) -> str:
    """What a line of `rates` is called."""
    metric = str(line["metric"])
    if metric == "match":
        return NESTED.get(str(line["value"]), "Repeats a training row")
    return METRICS.get(metric, (metric, ""))[0]


def metric_detail(line: Line) -> str:
    """What stands under the name: n, the sampling scheme and p."""
    value, detail = str(line.get("value") or ""), str(line.get("detail") or "")
    if line["metric"] == "match":
        alpha = detail.removeprefix("alpha=")
        return f"at {percent(float(alpha))} false alarms" if alpha else ""
    drawn = f"{int(value):,} samples" if line["by"] == "n" and value.isdigit() else "" if value == "all" else value
    return ", ".join(part for part in (drawn, detail) if part)


def fold(measure: str) -> str:
    """Bare letters of a measure's name, so that MinK, min_k and min-k% are one."""
    bare = "".join(c for c in measure.lower().replace("+", "p") if c.isalpha())
    return _FOLDS.get(bare, bare)


def measure_name(measure: str) -> str:
    """What a measure of `membership` is called."""
    return MEASURES.get(fold(measure), (measure, ""))[0]


def visible(text: str) -> str:
    """An id made safe for a terminal: control and direction characters become a replacement sign."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else "\ufffd" for c in text)
