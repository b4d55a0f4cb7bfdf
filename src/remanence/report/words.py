"""Wording of the report: number formats, names, and a short explanation of each measure."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from remanence.core.catalogue import entries

Line = Mapping[str, Any]
"""One line of a table of the run, or one object of its JSON."""

WHO = {
    "tuned": "Fine-tuned model, your rows",
    "floor": "Fine-tuned model, held-out rows",
    "base": "Base model, your rows",
    "ceiling": "Ceiling: the rows themselves",
}
"""Names of a rate and its comparisons, the same in all charts and tables."""

TEXTS = {
    "tuned": "Your texts",
    "floor": "Held-out texts",
    "base": "Base model",
    "ceiling": "Ceiling: copies of training rows",
}
"""The same for a match of texts, which has no model."""

MODELS = {"tuned": "Fine-tuned model", "base": "Base model", "blind": "Blind baseline (no model)"}
"""Source of a membership score."""

KINDS = {"verbatim": "Verbatim", "paraphrase": "Paraphrase", "idea": "Idea"}
"""Name of each kind of match."""

NESTED = {
    "verbatim": "Verbatim match with a row",
    "paraphrase": "... or paraphrase",
    "idea": "... or idea",
}
"""Rates of matches, each kind counted together with all stronger kinds."""

METRICS = {
    "greedy": (
        "Extracted word for word",
        "Discoverable extraction: the model is prompted with the beginning of a row and decodes greedily. The row is "
        "extracted if the next tokens are exactly those of the row, for at least one prefix length.",
    ),
    "np": (
        "Extracted by sampling",
        "(n, p)-discoverable extraction: the row is extracted if at least one of n samples is its exact continuation "
        "with probability p or more. Computed in closed form from the model's probabilities, without sampling.",
    ),
    "span": (
        "Shares a long span",
        "The row counts if the generated text shares a long run of tokens with the rest of the row. Spans that are "
        "already in the prompt do not count, because copying the prompt is not memorization.",
    ),
    "strength": (
        "Extraction strength",
        "One minus the share of the row that the prompt must contain for greedy decoding to complete the rest exactly.",
    ),
    "verbatim": (
        "Verbatim",
        "All runs of words that a text shares with a training row; runs of one row are chained over small gaps. A "
        "chain counts if its words have more bits of surprisal than the chains of all but a stated share of held-out "
        "texts of the same length. Words of the prompt, and phrases that held-out texts also contain, are excluded.",
    ),
    "paraphrase": (
        "Paraphrase",
        "A passage that has many words in common with one passage of a training row, in another order or with other "
        "words between them: sentence alignment with the retrieved rows, with a threshold from held-out texts.",
    ),
    "idea": (
        "Idea",
        "The text is more similar to the prompted row than to other rows with similar prompts (decoys). Tested only "
        "if there is no stronger match and the prompted row is known; the p-value is its rank among the decoys.",
    ),
    "bits": (
        "Bits, E-value, p-value",
        "Bits are the surprisal of the shared words under a background language model. The E-value is the expected "
        "number of matches with at least as many bits by chance over the whole corpus. The p-value is the share of "
        "held-out texts with at least as many bits; the decision uses only the p-value.",
    ),
}
"""Metric of `rates` to (name, explanation)."""

MEASURES = {
    "loss": ("Loss", "Mean log-probability of the row's tokens. It tends to be higher for training rows."),
    "zlib": ("zlib ratio", "Loss divided by the compressed size of the text, so that repetitive text does not look "
             "memorized."),
    "mink": ("Min-K%", "Mean log-probability of the least likely tokens of the row. Lower in unseen text."),
    "minkpp": ("Min-K%++", "Min-K% with each token's log-probability standardised over the model's predictions at its "
               "position."),
    "reference": ("Reference ratio", "Loss minus the base model's loss on the same row: the effect of fine-tuning."),
    "blind": ("Blind baseline", "A classifier of the texts alone, without a model. If it separates training from "
              "held-out rows, the two sets differ, and membership scores do not measure memorization."),
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
    """The rate in `line` with a prefix such as "floor_"; None if it is missing or has no rows."""
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
    """3.7 %, with a non-breaking space."""
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


def plural(n: int, singular: str, plural_form: str | None = None) -> str:
    """1 row, 1,200 rows."""
    return f"{n:,} {singular if n == 1 else plural_form or singular + 's'}"


def bound(sentence: str) -> str:
    """Replace the space before each per cent sign by a non-breaking one."""
    return sentence.replace(" %", "\u00a0%")


def metric_name(line: Line) -> str:
    """The name of a line of `rates`."""
    metric = str(line["metric"])
    if metric == "match":
        return NESTED.get(str(line["value"]), "Match with a row")
    return METRICS.get(metric, (metric, ""))[0]


def metric_detail(line: Line) -> str:
    """The second line of the name: n, the sampling scheme and p."""
    value, detail = str(line.get("value") or ""), str(line.get("detail") or "")
    if line["metric"] == "match":
        alpha = detail.removeprefix("alpha=")
        return f"at {percent(float(alpha))} false positives" if alpha else ""
    drawn = f"{int(value):,} samples" if line["by"] == "n" and value.isdigit() else "" if value == "all" else value
    return ", ".join(part for part in (drawn, detail) if part)


def fold(measure: str) -> str:
    """A measure's name reduced to its letters, so that MinK, min_k and min-k% are equal."""
    bare = "".join(c for c in measure.lower().replace("+", "p") if c.isalpha())
    return _FOLDS.get(bare, bare)


def measure_words(measure: str) -> tuple[str, str]:
    """(name, explanation) of a measure of `membership`, from `MEASURES` or else from the header of its file."""
    known = MEASURES.get(fold(measure))
    if known is not None:
        return known
    name = measure.split("[")[0]
    found = [entry for entry in entries(name=name) if entry.verb == "Measure"] if name.isidentifier() else []
    return (found[0].title, found[0].caption[0].upper() + found[0].caption[1:]) if found else (measure, "")


def measure_name(measure: str) -> str:
    """The name of a measure of `membership`."""
    return measure_words(measure)[0]


def visible(text: str) -> str:
    """An id made safe for a terminal: control and direction characters are replaced."""
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else "\ufffd" for c in text)
