"""An experiment: arms that differ in one thing, figures of each, and a rule that says whether a paper's claim holds.

An author writes a frozen dataclass with `claim`, `system`, `sizes`, and `arms`, `train`, `measure` and `rule`; `shared`
and `compare` where they are needed. Seeds, parallel arms, storing and the page are inherited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from remanence.core.errors import RemanenceError
from remanence.core.verbs import Experiment as Verb
from remanence.core.verbs import Verdict
from remanence.replications.frame.figure import Figures, Row, from_json, to_json
from remanence.replications.frame.stored import every


@dataclass(frozen=True)
class Part:
    """One statement of a rule."""

    statement: str
    holds: bool | None
    """None = cannot be decided."""
    because: str
    """The figures that say so, as a sentence without a full stop."""
    role: Literal["claim", "control", "beside"] = "claim"
    """A part of the claim; a control, without which nothing can be decided; or reported beside the claim."""


class Experiment(Verb):
    """Base of all experiments."""

    claim: ClassVar[str]
    """The paper's claim, one sentence."""
    system: ClassVar[str] = ""
    """The system of the catalogue that the claim is about."""
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Size -> the fields that it changes: `quick` (seconds, for tests), and `real` where there is one."""

    @classmethod
    def at(cls, size: str = "default") -> Self:
        """The experiment at a size. Raises `RemanenceError` for a size that it does not have."""
        if size != "default" and size not in cls.sizes:
            raise RemanenceError(f"{cls.__name__} has the sizes {', '.join(['default', *cls.sizes])}, not {size!r}.")
        return cls(**cls.sizes.get(size, {}))

    def shared(self, seed: int) -> Any:
        """What all arms of a seed start from, such as data and a base model. Arms must not change it."""
        return None

    def arms(self) -> Mapping[str, Any]:
        """Name -> what `train` is told: how this arm differs from the others."""
        raise NotImplementedError  # abstract

    def train(self, arm: Any, shared: Any, seed: int) -> Any:
        """What is measured of an arm: usually a model."""
        raise NotImplementedError  # abstract

    def measure(self, trained: Any, shared: Any, seed: int) -> Row:
        """The figures of an arm, by column. This runs where the arm was trained, so the model need not travel."""
        raise NotImplementedError  # abstract

    def compare(self, figures: Figures, seed: int) -> Figures:
        """Further rows, made from the arms' figures and their samples: paired differences, trends."""
        return {}

    def rule(self, figures: Figures) -> list[Part]:
        """What the figures of one seed say of the claim, part by part. Reads what is stored: no samples."""
        raise NotImplementedError  # abstract

    def figures(self, rows: Mapping[str, Row], seed: int) -> Figures:
        """All figures of a seed, the arms' first, exactly as they are stored."""
        arms = {name: rows[name] for name in self.arms()}
        return from_json(to_json([arms | self.compare(arms, seed)]), 0)

    def judge(self, figures: Figures) -> Verdict:
        """The rule, applied: cannot be decided when a control fails, else holds when every part of the claim does."""
        parts = self.rule(figures)
        return Verdict(self.claim, outcome(parts), text(parts), {"figures": figures, "parts": parts})

    def __call__(self, seed: int) -> Verdict:
        """Train and measure the arms one after the other, and judge."""
        from remanence.training.tiny import one_thread

        with one_thread():
            shared = self.shared(seed)
            rows = {
                name: self.measure(self.train(arm, shared, seed), shared, seed) for name, arm in self.arms().items()
            }
        return self.judge(self.figures(rows, seed))


def outcome(parts: Sequence[Part]) -> bool | None:
    """The verdict of one seed. ValueError for a rule that has no part of the claim."""
    claim = [part.holds for part in parts if part.role == "claim"]
    if not claim:
        raise ValueError("a rule needs a part whose role is 'claim'")
    if any(part.holds is not True for part in parts if part.role == "control"):
        return None
    return every(claim)


def text(parts: Sequence[Part]) -> str:
    """The verdict of one seed in sentences; a control that failed comes first."""
    failed = [f"Control failed: {part.because}." for part in parts if part.role == "control" and part.holds is not True]
    return " ".join([*failed, *(f"{part.because}." for part in parts if part.role != "control")])
