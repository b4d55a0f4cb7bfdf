"""From judgements to tables: the sources of the words of each attempt, its matches, and the rates they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.schema import CALIBRATION, MATCHES, ORIGINS
from remanence.core.target import Target
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import KINDS, GeneratedText, Judgement
from remanence.models.huggingface import HuggingFace
from remanence.models.word_bits import word_bits
from remanence.stats.calibration import ALPHAS
from remanence.stats.fdr import q_values
from remanence.text.background import Background, GivenBits
from remanence.text.words import words_of

Surprise = Callable[[Sequence[GeneratedText]], Background | None]
"""From texts to what says how surprising their words are; None = the index's own model of the corpus."""


def base_surprise(base: Target) -> Surprise:
    """The base model as the judge of surprise: then a match is worth what fine-tuning had to add."""
    if not isinstance(base, HuggingFace):
        raise RemanenceError(f"{base.name} cannot say how surprising words are: it is no Hugging Face model.")

    def surprise(generated: Sequence[GeneratedText]) -> Background:
        texts = [one.text for one in generated]
        return GivenBits(word_bits(base, texts, [one.prompt for one in generated], words_of(texts)))

    return surprise


def origin_line(attempt: int, one: Judgement, side: str = "said") -> dict[str, Any]:
    """The line of `origins.parquet`; q-values come at the end."""
    line = {"attempt": attempt, "side": side, "label": one.label, "num_words": one.num_words, **one.origins}
    line |= {"bits": one.bits, "most_bits": one.most_bits, "p_value": one.p_value, "q_value": None}
    line |= {"paraphrase_bits": one.paraphrase_bits, "paraphrase_p": one.paraphrase_p, "idea_p": one.idea_p}
    return line | {"reason": one.reason}


def match_lines(attempt: int, one: Judgement, index: PlagiarismIndex) -> Iterator[dict[str, Any]]:
    """The lines of `matches.parquet` for what the detector flagged."""
    for match in one.matches:
        placed = match.record_start >= 0
        text = index.texts[match.record][match.record_start : match.record_end] if placed else None
        yield {
            "attempt": attempt,
            "whose": match.whose,
            "kind": match.kind,
            "train_row": match.record,
            "train_id": index.ids[match.record],
            "char_start": match.start,
            "char_end": match.end,
            "in_prompt": False,
            "words": match.num_words,
            "bits": match.bits,
            "e_value": match.e_value,
            "p_value": match.p_value,
            "record_char_start": match.record_start if placed else None,
            "record_char_end": match.record_end if placed else None,
            "record_text": None if text is None else text.encode("utf-8", "replace").decode(),
        }


def with_q_values(lines: Sequence[dict[str, Any]], groups: Sequence[str]) -> list[dict[str, Any]]:
    """The lines with q-values over those of the same group [N]; texts that cannot be judged take no part."""
    out = [dict(line) for line in lines]
    for group in dict.fromkeys(groups):
        here = [
            i
            for i, line in enumerate(lines)
            if groups[i] == group and line["p_value"] is not None and line["reason"] is None
        ]
        found = q_values(np.array([lines[i]["p_value"] for i in here], np.float64))
        for i, q in zip(here, found.tolist(), strict=True):
            out[i]["q_value"] = q
    return out


def flags(lines: Sequence[dict[str, Any]], kind: str) -> NDArray[np.float64]:
    """[N] 1 where the label is of this kind or a stronger one, 0 where it is not, NaN where it is not measurable."""
    strong = KINDS[: KINDS.index(kind) + 1]  # pyright: ignore[reportArgumentType]
    return np.array([np.nan if line["reason"] else float(line["label"] in strong) for line in lines], np.float64)


def calibration_table(calibration: NullCalibration | None, alpha: float) -> pa.Table:
    """`calibration.parquet`: at the usual false-positive rates and the requested one."""
    lines = [] if calibration is None else calibration.rows(sorted({*ALPHAS, alpha}))
    return pa.Table.from_pylist(lines, CALIBRATION)


def to_arrow(lines: Sequence[dict[str, Any]]) -> pa.Table:
    """`origins.parquet`."""
    return pa.Table.from_pylist(list(lines), ORIGINS)


def matches_to_arrow(lines: Sequence[dict[str, Any]]) -> pa.Table:
    """`matches.parquet`."""
    return pa.Table.from_pylist(list(lines), MATCHES)
