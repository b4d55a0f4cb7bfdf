"""Task vector: fine-tune the model on the rows, and subtract the change of its weights.

Paper: Ilharco et al. 2023, "Editing Models with Task Arithmetic", arXiv 2212.04089

tau = theta_reinforced - theta_origin, and the model becomes theta - lambda tau. The origin of tau matters: the model
itself (`origin="target"`) or its base model (`"base"`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from remanence.mitigate.deprecated import accepts_old_keywords, renamed_class
from remanence.mitigate.unlearning.base import Unlearning
from remanence.mitigate.weights.adapters import weighted_sum
from remanence.mitigate.weights.peers import copy_state, finetuned_from_base, finetuned_state
from remanence.mitigate.weights.states import State, check_shapes, write_state_
from remanence.training.rows import Row
from remanence.training.settings import UnlearnSettings
from remanence.training.unlearn import StopCallback, should_stop


class WeightDifference:
    """tau = b - a, the difference of two models, of floats only, in at least float32; can be added and scaled."""

    def __init__(self, a: State, b: State) -> None:
        """`a` and `b`: tensors by name. Raises `RemanenceError` unless they are of one shape."""
        check_shapes([a, b])
        self.change: dict[str, Tensor] = {
            name: _wide(b[name]).to(_wide(a[name])) - _wide(a[name]) for name in a if a[name].is_floating_point()
        }

    @classmethod
    def of(cls, change: State) -> WeightDifference:
        """A vector from its tensors."""
        vector = cls({}, {})
        vector.change = dict(change)
        return vector

    def __add__(self, other: WeightDifference) -> WeightDifference:
        check_shapes([self.change, other.change])
        return WeightDifference.of({name: value + other.change[name] for name, value in self.change.items()})

    def __sub__(self, other: WeightDifference) -> WeightDifference:
        return self + -other

    def __mul__(self, scale: float) -> WeightDifference:
        return WeightDifference.of({name: scale * value for name, value in self.change.items()})

    __rmul__ = __mul__

    def __neg__(self) -> WeightDifference:
        return self * -1.0

    def apply(self, state: State, scale: float = 1.0) -> dict[str, Tensor]:
        """theta + scale tau; tensors that are not in the vector stay unchanged, and a scale of 0 changes no bit."""
        return {
            name: (_wide(value) + scale * self.change[name].to(value.device)).to(value.dtype)
            if scale and name in self.change
            else value.clone()
            for name, value in state.items()
        }

    def apply_to(self, model: Any, scale: float = 1.0) -> None:
        """The same for a live model, in place."""
        write_state_(model, self.apply({n: p.detach() for n, p in model.named_parameters() if n in self.change}, scale))


def _wide(value: Tensor) -> Tensor:
    return value.detach() if value.element_size() > 2 else value.detach().float()


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True)
class TaskVector(Unlearning):
    """Fine-tune on the forget rows, and subtract the weight change with increasing strength lambda.

    For an adapter, the products B A are summed and reduced to its own rank; the base model is not changed.
    """

    origin: Literal["target", "base"] = "target"
    """Where the vector begins: the model is fine-tuned further on the forget rows (target), or its base model is."""
    base: str | None = None
    """Folder of the base model, needed for `origin="base"` of a whole model."""
    lambdas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
    """Strengths to try, in this order."""
    _: KW_ONLY
    training: UnlearnSettings = UnlearnSettings(learning_rate=1e-4)
    """Fine-tuning on the forget rows."""

    unit: ClassVar[str] = "lambda"
    cost = "1 training, and 1 evaluation per strength"

    @property
    def groups(self) -> tuple[str, ...]:
        return ("forget",)

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """theta - lambda tau on the live model, for every lambda, until `stop` returns True."""
        if should_stop(stop, 0.0, model):
            return
        start = copy_state(model)
        if self.origin == "target":
            origin, reinforced = start, finetuned_state(model, tokenizer, forget, self.training)
        else:
            origin, reinforced = finetuned_from_base(model, tokenizer, self.base, forget, self.training)
        for strength in self.lambdas:
            write_state_(model, weighted_sum([start, origin, reinforced], [1.0, strength, -strength]))
            if should_stop(stop, strength, model):
                return


def __getattr__(name: str) -> type:
    return renamed_class(__name__, name, "TaskVectorNegation", TaskVector)
