"""Truth ratio: likelihood of wrong answers relative to the true answer.

Paper: Maini et al. 2024, "TOFU: A Task of Fictitious Unlearning for LLMs", arXiv 2401.06121, as OpenUnlearning
(arXiv 2506.12618) computes it: per token, and the mean over wrong answers taken of logarithms (TOFU's text writes an
arithmetic mean)

The true answer is a paraphrase and the wrong answers have the same form; both are in the row as `meta["paraphrase"]`
and `meta["wrong"]`. Without them substitutes are used, and the evidence says so: the row's own answer as paraphrase,
the answers of other rows as wrong answers. Figures with substitutes are comparable with each other, not with TOFU's.

Shapes: N rows, J wrong answers.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.finding import Finding
from remanence.core.record import Record
from remanence.core.table import IntsT, Rendered, TokenRow
from remanence.core.target import ScoresRendered
from remanence.core.verbs import Findings, Measure
from remanence.measure.unlearning.asked import Asked, answers_otherwise, asked, texts_in


@dataclass(frozen=True)
class TruthRatio(Measure):
    """The truth ratio of each row; its negative logarithm is the score, so that higher means more memorized."""

    wrong: int = 5
    """Number of answers of other rows that are used as wrong answers if there are none."""
    seed: int = 0
    """Seed for choosing them."""
    stand_in: bool = True
    """Whether substitutes are used; without them a row needs `meta["paraphrase"]` and `meta["wrong"]`."""
    others: tuple[Record, ...] = field(default=(), repr=False)
    """Rows whose answers are used as wrong answers; none = the other measured rows."""

    cost = "1 + `wrong` forward passes per row"

    @property
    def row_by_row(self) -> bool:
        """Only with `others`: without them, wrong answers come from the rows that are measured."""
        return bool(self.others)

    def with_corpus(self, train: Sequence[Record], heldout: Sequence[Record]) -> TruthRatio:
        """Wrong answers from held-out rows (or, without any, from training rows), where none were given."""
        return self if self.others else replace(self, others=tuple(heldout or train))

    def __call__(self, target: ScoresRendered, records: Sequence[Record]) -> Findings:
        """One finding per record: score = -log TR, nats per token; evidence: the ratio, and the substitutes used."""
        rows = [_asked_or_reason(target, record) for record in records]
        pool = [_asked_or_reason(target, other) for other in self.others] if self.others else rows
        lies = sorted({row.answer.tobytes() for row in pool if isinstance(row, Asked)})
        asking: list[_Asking | str] = []
        for record, row in zip(records, rows, strict=True):
            try:
                asking.append(row if isinstance(row, str) else self._asking(target, record, row, lies))
            except NotMeasured as why:
                asking.append(why.reason)
        whole = [one for ask in asking if isinstance(ask, _Asking) for one in (*ask.true, *ask.wrong)]
        table = target.score_rendered(whole, ("logprob",))
        found: Findings = []
        for record, ask in zip(records, asking, strict=True):
            if isinstance(ask, str):
                found.append(Finding(record.id, "truth_ratio", None, reason=ask))
                continue
            scored = [next(table) for _ in (*ask.true, *ask.wrong)]
            found.append(_finding(record.id, ask, scored))
        return found

    def _asking(self, target: ScoresRendered, record: Record, row: Asked, lies: Sequence[bytes]) -> _Asking:
        given, given_wrong = texts_in(record, "paraphrase"), texts_in(record, "wrong")
        missing = [name for name, texts in (("paraphrase", given), ("wrong", given_wrong)) if not texts]
        if missing and (not self.stand_in or (record.form == "text" and len(missing) == 1)):
            raise NotMeasured(f"no {' and no '.join(missing)} answers were given with it")
        true = [target.render(answers_otherwise(record, text)) for text in given] or [row.with_answer(row.answer)]
        wrong = [target.render(answers_otherwise(record, text)) for text in given_wrong]
        if not wrong:
            own = row.answer.tobytes()
            rng = np.random.default_rng((self.seed, zlib.crc32(row.rendered.ids.tobytes())))
            choice = [lie for lie in lies if lie != own]
            if not choice:
                raise NotMeasured("no wrong answers were given with it, and no other row has one to stand in")
            drawn = sorted(rng.choice(len(choice), min(self.wrong, len(choice)), replace=False).tolist())
            wrong = [row.with_answer(_ids(choice[k])[: row.answer.size]) for k in drawn]
        return _Asking(true, wrong, not given, not given_wrong)


def truth_ratio(nll_paraphrase: float, nll_wrong_J: NDArray[np.floating[Any]]) -> float:
    """TR = exp(-mean_j nll_wrong_j) / exp(-nll_paraphrase), nll in nats per token; LOWER = more memorized.

    Ratios are capped at e^700.
    """
    return float(np.exp(np.clip(nll_paraphrase - np.mean(nll_wrong_J), -700, 700)))


def forget_aggregate(ratio_N: NDArray[np.floating[Any]]) -> float:
    """mean min(TR, 1 / TR), 0 to 1: 1 = true and wrong answers are equally likely, as for a model without the rows."""
    return float(np.mean(np.minimum(ratio_N, 1 / ratio_N)))


def retain_aggregate(ratio_N: NDArray[np.floating[Any]]) -> float:
    """mean max(0, 1 - TR), 0 to 1: 1 = every wrong answer is much less likely than the true one, as desired."""
    return float(np.mean(np.maximum(0.0, 1 - ratio_N)))


@dataclass(frozen=True)
class _Asking:
    """The texts to be scored for one row."""

    true: list[Rendered]
    wrong: list[Rendered]
    own_answer: bool
    other_rows: bool


def _finding(record_id: str, ask: _Asking, scored: Sequence[TokenRow | str]) -> Finding:
    try:
        nll = np.array([-_mean_logprob(row) for row in scored])
    except NotMeasured as why:
        return Finding(record_id, "truth_ratio", None, reason=why.reason)
    true, wrong = nll[: len(ask.true)], nll[len(ask.true) :]
    if not np.isfinite(nll).all():
        reason = "the model gives a true or a wrong answer probability 0"
        return Finding(record_id, "truth_ratio", None, reason=reason)
    evidence = {
        "truth_ratio": truth_ratio(float(true.mean()), wrong),
        "paraphrase": "own answer" if ask.own_answer else "given",
        "wrong": "other rows" if ask.other_rows else "given",
        "num_wrong": len(ask.wrong),
    }
    return Finding(record_id, "truth_ratio", float(wrong.mean() - true.mean()), evidence)


def _mean_logprob(row: TokenRow | str) -> float:
    if isinstance(row, str):
        raise NotMeasured(row)
    return float(row.scored("logprob").mean())


def _asked_or_reason(target: ScoresRendered, record: Record) -> Asked | str:
    try:
        return asked(target.render(record))
    except NotMeasured as why:
        return why.reason


def _ids(packed: bytes) -> IntsT:
    return np.frombuffer(packed, np.int32)
