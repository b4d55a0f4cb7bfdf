"""One look at a live model: which probe rows are extracted, against held-out rows and against the start.

A single pass over the rows gives everything: greedy extraction by `Discoverable`, the loss, and how well the loss
tells probe rows from held-out ones. Nothing is generated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.table import Rendered, TokenRow
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.huggingface import HuggingFace
from remanence.stats.membership import auc_interval, roc_auc
from remanence.stats.rates import Comparison, Rate, compare

Rendereds = Sequence[Rendered | str]


@dataclass(frozen=True)
class Facts:
    """What one pass says of N rows."""

    judged_N: NDArray[np.bool_]
    """True where a row is long enough to be extracted."""
    back_N: NDArray[np.bool_]
    """True where it does."""
    logprob_N: NDArray[np.float64]
    """Summed log-probability of the tokens that carry loss (nats)."""
    tokens_N: NDArray[np.float64]
    """How many those are."""

    @property
    def flags(self) -> NDArray[np.bool_]:
        """[J] the verdicts of the rows that can be judged."""
        return self.back_N[self.judged_N]

    @property
    def loss(self) -> float | None:
        """Mean loss per token (nats), each token counted once; None without any."""
        tokens = float(self.tokens_N.sum())
        return -float(self.logprob_N.sum()) / tokens if tokens else None

    @property
    def scores(self) -> NDArray[np.float64]:
        """[S] mean log-probability of the rows that have a token that carries loss; higher = more memorized."""
        scored = self.tokens_N > 0
        return self.logprob_N[scored] / self.tokens_N[scored]

    @property
    def verdicts(self) -> str:
        """One letter a row: 1 = extracted, 0 = not extracted, - = cannot be judged."""
        return "".join("-" if not j else "01"[int(b)] for j, b in zip(self.judged_N, self.back_N, strict=True))


def facts_table(
    target: HuggingFace, rows: Rendereds, measure: Discoverable, rank: int = 0, world: int = 1
) -> NDArray[np.float64]:
    """[N, 4] judged, back, summed log-probability, tokens; zeros for rows that are another process's."""
    table = np.zeros((len(rows), 4))
    mine = range(rank, len(rows), world)
    given = [row if isinstance(row, str) or row.scored.any() else "nothing to score" for row in (rows[i] for i in mine)]
    scored = target.score_rendered(given, ("logprob", *measure.needs))
    for place, row in zip(mine, scored, strict=True):
        if isinstance(row, TokenRow):
            table[place] = _line(row, measure)
    return table


def read_facts(table_N4: NDArray[np.float64]) -> Facts:
    """The facts in a table that is whole."""
    return Facts(table_N4[:, 0] > 0, table_N4[:, 1] > 0, table_N4[:, 2], table_N4[:, 3])


def _line(row: TokenRow, measure: Discoverable) -> tuple[float, float, float, float]:
    try:
        logprob = row.scored("logprob")
    except NotMeasured:
        return (0.0, 0.0, 0.0, 0.0)
    try:
        back = measure.score(row).value
    except NotMeasured:
        return (0.0, 0.0, float(logprob.sum()), float(logprob.size))
    return (1.0, back, float(logprob.sum()), float(logprob.size))


@dataclass(frozen=True)
class Look:
    """The figures of one look; None where there is nothing to measure them with. Intervals are 95 %."""

    step: int
    """Optimizer steps so far."""
    epoch: float
    hits: int
    """Probe rows that are extracted,"""
    n: int
    """of so many that can be judged."""
    rate: float | None
    low: float
    high: float
    floor_hits: int | None
    """Held-out rows that are extracted."""
    floor_n: int | None
    floor_rate: float | None
    excess: float | None
    """Rate minus floor."""
    excess_low: float | None
    excess_high: float | None
    over_base: float | None
    """Rate minus that of the model before, on the same rows."""
    over_base_low: float | None
    over_base_high: float | None
    canary_hits: int | None
    canary_n: int | None
    canary_rate: float | None
    loss: float | None
    """On probe rows (nats per token)."""
    heldout_loss: float | None
    canary_loss: float | None
    auc: float | None
    """How well the loss tells probe rows from held-out ones; 0.5 = not at all."""
    auc_low: float | None
    auc_high: float | None
    seconds: float
    """What the look took."""
    rows: str
    """One letter per probe row: 1 = extracted, 0 = not extracted, - = cannot be judged."""

    def logs(self) -> dict[str, float]:
        """The figures for a Trainer's log, under `audit_...`."""
        left_out = {"step", "epoch", "rows"}
        return {f"audit_{k}": v for k, v in asdict(self).items() if k not in left_out and v is not None}

    def value(self, name: str) -> float | None:
        """What a rule speaks of; `rate_low` is `low`."""
        return getattr(self, "low" if name == "rate_low" else name)

    def text(self) -> str:
        """One line for people."""
        parts = [f"{self.hits} of {self.n} probe rows are extracted ({100 * self.low:.1f} to {100 * self.high:.1f} %)"]
        if self.floor_n is not None:
            parts[0] += f", {self.floor_hits} of {self.floor_n} held-out"
        if self.canary_n is not None:
            parts.append(f"{self.canary_hits} of {self.canary_n} canaries")
        if self.loss is not None:
            beside = "" if self.heldout_loss is None else f" (held-out {self.heldout_loss:.2f})"
            parts.append(f"loss {self.loss:.2f}{beside}")
        if self.auc is not None:
            parts.append(f"AUC {self.auc:.2f} ({self.auc_low:.2f} to {self.auc_high:.2f})")
        return f"step {self.step} (epoch {self.epoch:.2f}): {'; '.join(parts)}"


def look_of(
    step: int, epoch: float, seconds: float, probe: Facts, heldout: Facts | None, canaries: Facts | None, start: str
) -> Look:
    """The figures that follow from the facts; `start` holds the letters of the same rows before."""
    held = heldout.flags if heldout is not None else None
    both = np.array([one != "-" for one in start]) & probe.judged_N
    before = np.array([one == "1" for one in start])
    now: Comparison = compare(probe.flags, held)
    paired = compare(probe.back_N[both], None, before[both]).excess_over_base
    canary = None if canaries is None else Rate.of(canaries.flags)
    auc, auc_low, auc_high = _auc(probe, heldout)
    return Look(
        step=step,
        epoch=epoch,
        hits=now.measured.hits,
        n=now.measured.n,
        rate=_told(now.measured.rate),
        low=now.measured.low,
        high=now.measured.high,
        floor_hits=None if now.floor is None else now.floor.hits,
        floor_n=None if now.floor is None else now.floor.n,
        floor_rate=None if now.floor is None else _told(now.floor.rate),
        excess=None if now.excess is None else now.excess.value,
        excess_low=None if now.excess is None else now.excess.low,
        excess_high=None if now.excess is None else now.excess.high,
        over_base=None if paired is None else paired.value,
        over_base_low=None if paired is None else paired.low,
        over_base_high=None if paired is None else paired.high,
        canary_hits=None if canary is None else canary.hits,
        canary_n=None if canary is None else canary.n,
        canary_rate=None if canary is None else _told(canary.rate),
        loss=probe.loss,
        heldout_loss=None if heldout is None else heldout.loss,
        canary_loss=None if canaries is None else canaries.loss,
        auc=auc,
        auc_low=auc_low,
        auc_high=auc_high,
        seconds=seconds,
        rows=probe.verdicts,
    )


def _auc(probe: Facts, heldout: Facts | None) -> tuple[float | None, float | None, float | None]:
    if heldout is None or not probe.scores.size or not heldout.scores.size:
        return None, None, None
    interval = auc_interval(probe.scores, heldout.scores)
    return roc_auc(probe.scores, heldout.scores), interval.low, interval.high


def _told(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def read_look(line: dict[str, Any]) -> Look:
    """A look as a line of `audit-curve.jsonl` has it."""
    return Look(**{name: line[name] for name in Look.__dataclass_fields__})
