"""What a study measures of every arm: how many rows, where they are split, how much must come back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.scheme import SamplingScheme

DETECTORS = ("calibrated", "pan2015")


@dataclass(frozen=True)
class StudySettings:
    """The same for all arms, so that they compare."""

    rows: int = 1000
    """Training rows of an arm, copies included."""
    repeated: tuple[tuple[int, int], ...] = ((4, 25), (16, 12))
    """(copies, how many different rows stand so often); all other rows stand once. The same dose for every task."""
    members: int = 150
    """Different training rows that are measured: all repeated ones, and single ones drawn at random."""
    heldout: int = 150
    """Rows that are never trained on and go through the identical pipeline: the floor."""
    calibration: int = 400
    """At most so many further unseen rows, which tell our detector what chance reaches; they are in no rate."""
    max_length: int = 256
    """Tokens after which training cuts a row."""
    prefixes: tuple[str, ...] = ("0", "10", "30", "50", "100", "10%", "25%", "50%")
    """Where a row is split: tokens given away, or per cent of the side measured."""
    budgets: tuple[int, ...] = (6, 10, 20, 50, 100)
    """How many tokens must come back, all of them right. A row with fewer is not measurable there, never a zero."""
    asked: int = 50
    """Tokens of the input given when the model is really asked to go on with inputs (at most half of the input)."""
    schemes: tuple[str, ...] = ("T=1",)
    """Sampling schemes for (n,p)-discoverable extraction, by its closed form."""
    queries: tuple[int, ...] = (1, 100, 10_000)
    """Numbers of samples n."""
    p: float = 0.5
    """How surely a row must come back within n samples."""
    detectors: tuple[str, ...] = DETECTORS
    """What judges the answers; empty = no answers are generated."""
    alpha: float = 0.01
    """Share of held-out texts that our detector may flag."""
    attention: bool = True
    """Measure how attention is spread."""
    rounds: int = 1000
    """Bootstrap rounds of every interval."""

    def __post_init__(self) -> None:
        for name in ("rows", "members", "heldout", "max_length", "rounds"):
            if getattr(self, name) < 1:
                raise RemanenceError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}.")
        if any(copies < 2 or count < 1 for copies, count in self.repeated) or self.singles < 0:
            raise RemanenceError(
                f"{self.rows} rows cannot hold {self.repeated} (copies, different rows) and rows that stand once: "
                "raise --rows or repeat fewer."
            )
        if self.members > self.different:
            raise RemanenceError(f"--members {self.members}: only {self.different} different rows are trained on.")
        if unknown := [one for one in self.detectors if one not in DETECTORS]:
            raise RemanenceError(f"There is no detector {unknown[0]!r}: choose from {', '.join(DETECTORS)}.")
        for text in self.prefixes:
            _ = split_at(text, 100)
        object.__setattr__(self, "budgets", tuple(sorted(set(self.budgets))))
        object.__setattr__(self, "repeated", tuple(sorted((int(c), int(n)) for c, n in self.repeated)))
        object.__setattr__(self, "schemes", tuple(dict.fromkeys(SamplingScheme.parse(s).name for s in self.schemes)))

    @property
    def singles(self) -> int:
        """How many rows stand once."""
        return self.rows - sum(copies * count for copies, count in self.repeated)

    @property
    def different(self) -> int:
        """Different training rows."""
        return self.singles + sum(count for _, count in self.repeated)

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return {k: _listed(v) for k, v in asdict(self).items()}

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> StudySettings:
        """The settings of an earlier study."""
        return cls(**{k: _tupled(v) for k, v in spec.items()})


def split_at(prefix: str, length: int) -> int:
    """How many of `length` tokens a prefix like `50` or `25%` gives away. Raises `RemanenceError` for another word."""
    number = prefix.removesuffix("%")
    if not number.isdigit() or (prefix.endswith("%") and int(number) >= 100):
        raise RemanenceError(f"A prefix is a number of tokens like 50 or a share like 25%, got {prefix!r}.")
    return round(int(number) / 100 * length) if prefix.endswith("%") else int(number)


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value
