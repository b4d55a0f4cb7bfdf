"""Settings of a study: which arms are trained, and what is measured of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from remanence.core.errors import RemanenceError
from remanence.core.keywords import from_json, to_json
from remanence.core.scheme import SamplingScheme
from remanence.core.settings import check_settings, option, spelled


@dataclass(frozen=True)
class GridSettings:
    """The arms of a study: every combination of task, model and these values."""

    only: tuple[str, ...] = option((), group="data", metavar="TASK")
    """Tasks or task families to include. Default: all tasks."""
    seeds: tuple[int, ...] = option((0, 1, 2), group="training", least=0, nonempty=True)
    """Random seeds; each draws its own rows."""
    loss_on: tuple[Literal["completion", "all"], ...] = option(("completion", "all"), group="training", nonempty=True)
    """Tokens that carry loss: completions, or all tokens, so that inputs are training targets too."""
    learning_rates: tuple[float, ...] = option((2e-3,), group="training", above=0, nonempty=True)
    """Learning rates."""
    lora_ranks: tuple[int, ...] = option((0,), group="training", least=0, nonempty=True)
    """LoRA ranks; 0 = full fine-tuning."""
    epochs: int = option(6, group="training", least=1)
    """Number of passes over the rows; each is a point of the curves."""
    batch_size: int = option(8, group="training", least=1)
    """Rows per optimizer step."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class StudySettings:
    """What is measured of every arm; the same for all arms, so that they compare."""

    rows: int = option(1000, group="data", least=1)
    """Number of training rows per arm, copies included."""
    repeated: tuple[tuple[int, int], ...] = option(((4, 25), (16, 12)), group="data", metavar="COPIESxROWS")
    """Repeated rows as COPIESxROWS: number of copies, and number of different rows that get so many copies; all other
    rows occur once. The same for every task."""
    members: int = option(150, least=1)
    """Number of different training rows that are measured: all repeated ones, and others drawn at random."""
    heldout: int = option(150, least=1)
    """Number of held-out rows that are measured by the same procedure; their extraction rate is the floor."""
    calibration: int = option(400, least=0)
    """Maximum number of further held-out rows that calibrate the detector; they count in no rate."""
    max_length: int = option(256, group="training", least=1)
    """Maximum number of tokens per row in training; longer rows are truncated."""
    prefixes: tuple[str, ...] = ("0", "10", "30", "50", "100", "10%", "25%", "50%")
    """Prefix lengths: number of tokens in the prompt, or a percentage of the row."""
    budgets: tuple[int, ...] = option((6, 10, 20, 50, 100), least=1)
    """Numbers of tokens that the model must reproduce exactly; rows with fewer tokens are not measurable there."""
    prompt_tokens: int = option(50, least=0, old=("asked",))
    """Number of input tokens in the prompt when the model continues an input (at most half of the input)."""
    schemes: tuple[str, ...] = option(("T=1",), name="--scheme", split=False)
    """Sampling scheme for (n,p)-discoverable extraction in closed form, such as T=0.8,k=40."""
    queries: tuple[int, ...] = option((1, 100, 10_000), least=1)
    """Numbers of samples n at which (n,p)-discoverable extraction is reported."""
    p: float = option(0.5, above=0, below=1)
    """Probability of extracting a row within n samples from which it counts as (n,p)-discoverable."""
    detectors: tuple[Literal["calibrated", "pan2015"], ...] = ("calibrated", "pan2015")
    """Detectors that judge generated texts; none = no texts are generated."""
    alpha: float = option(0.01, above=0, below=1)
    """False-positive rate of the calibrated detector: share of held-out texts that may be flagged as copied."""
    attention: bool = True
    """Whether to measure how attention is distributed over the input."""
    rounds: int = option(1000, least=1)
    """Number of bootstrap samples per interval."""

    def __post_init__(self) -> None:
        check_settings(self)
        if any(copies < 2 or count < 1 for copies, count in self.repeated) or self.singles < 0:
            raise RemanenceError(
                f"{self.rows} rows cannot hold {self.repeated} (copies, different rows) and rows that occur once: "
                f"raise {spelled('rows')} or repeat fewer."
            )
        if self.members > self.different:
            raise RemanenceError(
                f"{spelled('members', self.members)}: only {self.different} different rows are trained on."
            )
        for text in self.prefixes:
            _ = split_at(text, 100)
        object.__setattr__(self, "budgets", tuple(sorted(set(self.budgets))))
        object.__setattr__(self, "repeated", tuple(sorted((int(c), int(n)) for c, n in self.repeated)))
        object.__setattr__(self, "schemes", tuple(dict.fromkeys(SamplingScheme.parse(s).name for s in self.schemes)))

    @property
    def singles(self) -> int:
        """Number of rows that occur once."""
        return self.rows - sum(copies * count for copies, count in self.repeated)

    @property
    def different(self) -> int:
        """Number of different training rows."""
        return self.singles + sum(count for _, count in self.repeated)

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return to_json(self)

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> StudySettings:
        """The settings of an earlier study."""
        return from_json(cls, spec)


def split_at(prefix: str, length: int) -> int:
    """Number of the first `length` tokens that a prefix like `50` or `25%` holds. Raises `RemanenceError` otherwise."""
    number = prefix.removesuffix("%")
    if not number.isdigit() or (prefix.endswith("%") and int(number) >= 100):
        raise RemanenceError(f"A prefix is a number of tokens like 50 or a share like 25%, got {prefix!r}.")
    return round(int(number) / 100 * length) if prefix.endswith("%") else int(number)
