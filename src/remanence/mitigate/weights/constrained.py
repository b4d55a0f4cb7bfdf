"""Constrained: fine-tune towards what should be said instead, and let no weight move further than delta.

Paper: Zhu et al. 2020, "Modifying Memories in Transformer Models", arXiv 2012.00363

The paper rewrites facts: it trains on modified rows, such as the same question with another answer. Rows that have such
a `replacement` are treated so. For rows that are only to be forgotten there is nothing to train towards; then the
objective is the field's (NPO, or gradient ascent) inside the same ball.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.mitigate.unlearning.apply import apply_unlearning
from remanence.mitigate.unlearning.losses import gradient_ascent, nll, npo_loss
from remanence.mitigate.weights.balls import project_l2_, project_linf_, relative_radii
from remanence.training.prepare import prepare
from remanence.training.reference import ReferenceModel, preserve_requires_grad, select_trainable, trainable_state
from remanence.training.rows import Row
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.unlearn import StopCallback, UnlearnSettings, unlearn


def modified(records: Sequence[Record]) -> list[Record]:
    """The forget records with their `meta["replacement"]` said in place of its words; none where none has one.

    The replacement stands for the whole text, the completion, or the last turn of a chat. Raises `RemanenceError` when
    some forget records have one and others do not.
    """
    forget = [record for record in records if record.group == "forget"]
    given = [record for record in forget if record.meta.get("replacement")]
    if given and len(given) < len(forget):
        odd = next(record for record in forget if record not in given)
        raise RemanenceError(
            f"{len(given)} of {len(forget)} rows to forget have a replacement and row {odd.id!r} has none: give one to "
            "each of them, or to none."
        )
    return [_said_instead(record, str(record.meta["replacement"])) for record in given]


def _said_instead(record: Record, words: str) -> Record:
    if record.form == "text":
        return replace(record, text=words)
    if record.form == "pair":
        return replace(record, completion=words)
    turns = record.messages
    assert turns, "a record has one of three forms"
    return replace(record, messages=(*turns[:-1], {**turns[-1], "content": words}))


@dataclass(frozen=True)
class Constrained(Mitigation):
    """The method as a mitigation: AdamW, and after every step back into the ball around the weights as they were.

    The ball is checked on float32 weights. Tied embeddings are one tensor, so that a ball around them is one around
    the output layer as well; `blocks` leaves them out.
    """

    delta: float = 5e-3
    """Radius: no weight moves further than this. Too small changes nothing; a power of ten is much."""
    norm: Literal["linf", "l2"] = "linf"
    """l2 takes all weights as one vector."""
    relative: bool = False
    """delta in units of each tensor's root mean square, with linf."""
    blocks: str | None = None
    """Regular expression: only weights whose name it finds are trained, such as h.0. for the first block of a GPT-2."""
    forget_loss: Literal["npo", "gradient_ascent"] = "npo"
    """For rows without a replacement."""
    beta: float = 0.1
    """Of NPO."""
    alpha: float = 1.0
    """Weight of the loss on retain rows (the paper's FTA); 0 = leave them out (FTM)."""
    learning_rate: float = 1e-4
    steps: int = 60
    batch_size: int = 8
    check_every: int = 5
    seed: int = 0
    limit: float = 0.02
    """Greatest relative rise of the held-out loss."""

    unit: ClassVar[str] = "steps"
    needs: ClassVar[tuple[str, ...]] = ("retain",)

    def optimize(
        self,
        model: Any,
        tokenizer: Any,
        forget: Sequence[Row],
        retain: Sequence[Row],
        stop: StopCallback,
        instead: Sequence[Row] = (),
    ) -> None:
        """Train inside the ball until `stop` returns True; towards the rows `instead`, if there are any."""
        with preserve_requires_grad(model):
            names = list(select_trainable(model, self.blocks))
        weights = {name: weight for name, weight in trainable_state(model).items() if name in names}
        start = {name: weight.detach().clone() for name, weight in weights.items()}
        radii = relative_radii(start, self.delta) if self.relative else self.delta
        settings = UnlearnSettings(
            self.learning_rate, self.steps, self.batch_size, check_every=self.check_every, seed=self.seed
        )

        def after_step(_: Any) -> None:
            if self.norm == "l2":
                project_l2_(weights, start, self.delta)
            else:
                project_linf_(weights, start, radii)

        unlearn(
            model,
            tokenizer,
            instead or forget,
            retain if self.alpha else (),
            partial(self.objective, towards=bool(instead)),
            settings,
            stop=stop,
            after_step=after_step,
            parameters=names,
        )

    def objective(
        self, model: Any, forget: Batch, retain: Batch | None, start: ReferenceModel, towards: bool = False
    ) -> Tensor:
        """Loss of the modified rows, or what drives away from the rows to forget, plus alpha times the retain loss."""
        here = sequence_nll(model, forget)
        if towards:
            loss = nll(*here)
        elif self.forget_loss == "npo":
            loss = npo_loss(here.sum_B, sequence_nll(model, forget, start).sum_B, self.beta)
        else:
            loss = gradient_ascent(*here)
        return loss if retain is None else loss + self.alpha * nll(*sequence_nll(model, retain))

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target at the best step within the limit. Records: groups forget, retain, heldout."""
        instead = prepare(modified(records), target.render).rows  # pyright: ignore[reportArgumentType]
        walk = partial(self.optimize, instead=instead)
        needs = self.needs if self.alpha else ()
        return apply_unlearning(target, records, walk, "constrained", self.limit, needs=needs, seed=self.seed)
