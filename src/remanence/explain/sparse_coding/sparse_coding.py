"""Sparse coding: does a linear map retain more of its input when its task needs more of the input's features?

Paper: Zeng et al. 2024, "Exploring Memorization in Fine-tuned Language Models", arXiv 2310.06714. The paper's own
theorem was not available; the version in `statement.py` is checked.

No language model is involved here: inputs are sparse mixtures of features, targets need 1, 2, 4, ... of them, and
linear maps are fitted by regression and by gradient descent. `replications/sparse_coding.py` tests a transformer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.finding import Finding
from remanence.core.verbs import Findings, Theory
from remanence.explain.sparse_coding.fitting import draw, gradient_descent, heldout_errors, reduced_rank
from remanence.explain.sparse_coding.statement import best_map, error_at_rank, row_space, widest_angle

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class SparseCoding(Theory):
    """One finding per task; score = share of the input's variance that is reconstructed, in closed form."""

    inputs: int = 24
    features: int = 8
    noise: float = 0.1
    """Variance of the noise in each input."""
    density: float = 0.25
    """Share of features that are non-zero in an input."""
    samples: int = 10_000
    rank: int | None = None
    """Rank of the maps; None = the number of features that the task needs."""

    def __call__(self, seed: int) -> Findings:
        """Findings `needs 1 of 8`, `needs 2 of 8`, ...; the evidence has the closed form and the simulation."""
        rng = np.random.default_rng(seed)
        M = _orthonormal(self.inputs, self.features, rng)
        mixing = _orthonormal(self.features, self.features, rng)
        lam = rng.permutation(np.linspace(0.5, 2.0, self.features))
        order = rng.permutation(self.features)
        return [
            Finding(f"needs {s} of {self.features}", "sparse_coding", *self.task(M, lam, mixing[:, :s], order[:s], rng))
            for s in needs(self.features)
        ]

    def task(
        self, M: Matrix, lam: Matrix, A_S: Matrix, S: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[float, dict[str, Any]]:
        """Score and evidence of the task that needs the features `S`."""
        rank = len(S) if self.rank is None else min(self.rank, len(S))
        closed = error_at_rank(lam, self.noise, A_S, S.tolist(), self.inputs, rank)
        learn, judge = (draw(M, lam, self.noise, A_S, S.tolist(), self.samples, self.density, rng) for _ in range(2))
        kept = row_space(best_map(M, lam, self.noise, A_S, S.tolist(), rank))
        evidence: dict[str, Any] = {"needed": len(S), "rank": rank, "closed_form": closed}
        for name, W in (("regression", reduced_rank(learn, rank)), ("descent", gradient_descent(learn, rank, rng))):
            errors = heldout_errors(learn.x, judge.x, W)
            evidence[name] = float(errors.mean())
            evidence[f"{name}_standard_error"] = float(errors.std() / np.sqrt(len(errors)))
            evidence[f"{name}_angle"] = widest_angle(kept, row_space(W))
        return 1 - closed / float(lam.sum() + self.noise * self.inputs), evidence


def needs(fields: int) -> list[int]:
    """Numbers of features that the tasks need: 1, 2, 4, ... and all of them."""
    return sorted({2**k for k in range(fields.bit_length()) if 2**k < fields} | {fields})


def linear_holds(findings: Findings) -> bool:
    """True if both fits are within four standard errors of the closed form for every task and all errors decrease."""
    lines = [finding.evidence for finding in findings]
    close = all(
        abs(line[fit] - line["closed_form"]) <= 4 * line[f"{fit}_standard_error"]
        for line in lines
        for fit in ("regression", "descent")
    )
    decrease = all(
        bool(np.all(np.diff([line[name] for line in lines]) < 0)) for name in ("closed_form", "regression", "descent")
    )
    return close and decrease


def _orthonormal(rows: int, columns: int, rng: np.random.Generator) -> Matrix:
    return np.asarray(np.linalg.qr(rng.normal(size=(rows, columns)))[0], np.float64)
