"""Task vector: find the direction in which a model learns the rows even better, and step the other way.

Paper: Ilharco et al. 2023, "Editing Models with Task Arithmetic", arXiv 2212.04089

tau = theta_reinforced - theta_origin, and the model becomes theta - lambda tau. Where tau begins matters: from the
model itself (`origin="target"`) or from its base model (`"base"`) it leads to different places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.weights.adapters import summed
from remanence.mitigate.weights.peers import finetuned_from_base, snapshot, taught
from remanence.mitigate.weights.states import State, check_shapes, put
from remanence.training.rows import Row
from remanence.training.unlearn import StopCallback, UnlearnSettings, should_stop


class TaskVector:
    """tau = b - a, the way from one model to another; floats only, float32 at least. Vectors add up and stretch."""

    def __init__(self, a: State, b: State) -> None:
        """`a` and `b`: tensors by name. Raises `RemanenceError` unless they are of one shape."""
        check_shapes([a, b])
        self.change: dict[str, Tensor] = {
            name: _wide(b[name]).to(_wide(a[name])) - _wide(a[name]) for name in a if a[name].is_floating_point()
        }

    @classmethod
    def of(cls, change: State) -> TaskVector:
        """A vector from its tensors."""
        vector = cls({}, {})
        vector.change = dict(change)
        return vector

    def __add__(self, other: TaskVector) -> TaskVector:
        check_shapes([self.change, other.change])
        return TaskVector.of({name: value + other.change[name] for name, value in self.change.items()})

    def __sub__(self, other: TaskVector) -> TaskVector:
        return self + -other

    def __mul__(self, scale: float) -> TaskVector:
        return TaskVector.of({name: scale * value for name, value in self.change.items()})

    __rmul__ = __mul__

    def __neg__(self) -> TaskVector:
        return self * -1.0

    def apply(self, state: State, scale: float = 1.0) -> dict[str, Tensor]:
        """theta + scale tau; tensors that the vector does not know stay as they are, a scale of 0 changes no bit."""
        return {
            name: (_wide(value) + scale * self.change[name].to(value.device)).to(value.dtype)
            if scale and name in self.change
            else value.clone()
            for name, value in state.items()
        }

    def apply_to(self, model: Any, scale: float = 1.0) -> None:
        """The same for a live model, in place."""
        put(model, self.apply({n: p.detach() for n, p in model.named_parameters() if n in self.change}, scale))


def _wide(value: Tensor) -> Tensor:
    return value.detach() if value.element_size() > 2 else value.detach().float()


@dataclass(frozen=True)
class TaskVectorNegation(Mitigation):
    """The edit as a mitigation: reinforce the forget rows, and walk lambda up the grid the other way.

    With an adapter, its products B A are what is summed, cut back to its own rank; the base model is not touched.
    """

    origin: Literal["target", "base"] = "target"
    """Where the vector begins: the model is trained further on the forget rows, or its base model is."""
    base: str | None = None
    """Folder of the base model, for `origin="base"` of a whole model."""
    lambdas: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
    """Strengths to look at, in this order."""
    learning_rate: float = 1e-4
    """Of the reinforcement."""
    steps: int = 60
    """Of the reinforcement."""
    batch_size: int = 8
    seed: int = 0
    limit: float = 0.02
    """Greatest relative rise of the held-out loss."""

    unit: ClassVar[str] = "lambda"
    needs: ClassVar[tuple[str, ...]] = ()

    cost = "1 training, and 1 evaluation per strength"

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """theta - lambda tau on the live model, for every lambda, until `stop` returns True."""
        if should_stop(stop, 0.0, model):
            return
        settings = UnlearnSettings(self.learning_rate, self.steps, self.batch_size, seed=self.seed)
        start = snapshot(model)
        if self.origin == "target":
            origin, reinforced = start, taught(model, tokenizer, forget, settings)
        else:
            origin, reinforced = finetuned_from_base(model, tokenizer, self.base, forget, settings)
        for strength in self.lambdas:
            put(model, summed([start, origin, reinforced], [1.0, strength, -strength]))
            if should_stop(stop, strength, model):
                return

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target at the best lambda within the limit. Records: groups forget, retain, heldout."""
        return apply_unlearning(
            target, records, self.optimize, "task_vector", self.limit, needs=self.needs, seed=self.seed
        )
