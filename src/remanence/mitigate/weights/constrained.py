"""Constrained: fine-tune towards replacement rows, and let no weight move further than delta.

Paper: Zhu et al. 2020, "Modifying Memories in Transformer Models", arXiv 2012.00363

The paper rewrites facts: it trains on modified rows, such as the same question with another answer. Rows with a column
`replacement` are treated so. For rows without a replacement there is nothing to train towards; their objective is that
of NPO or gradient ascent, within the same ball.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import Any, Literal

from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.unlearning.base import Unlearning
from remanence.mitigate.unlearning.losses import gradient_ascent, nll, npo_loss
from remanence.mitigate.weights.balls import project_l2_, project_linf_, relative_radii
from remanence.training.prepare import prepare
from remanence.training.reference import ReferenceModel, preserve_requires_grad, select_trainable, trainable_state
from remanence.training.rows import Row
from remanence.training.sequences import Batch, sequence_nll
from remanence.training.settings import UnlearnSettings
from remanence.training.unlearn import StopCallback, unlearn


def modified(records: Sequence[Record]) -> list[Record]:
    """The forget records with the text of their `meta["replacement"]`; none where no record has one.

    The replacement is used in place of the whole text, the completion, or the last turn of a chat. Raises
    `RemanenceError` when some forget records have one and others do not.
    """
    forget = [record for record in records if record.group == "forget"]
    with_replacement = [record for record in forget if record.meta.get("replacement")]
    if with_replacement and len(with_replacement) < len(forget):
        without = next(record for record in forget if record not in with_replacement)
        raise RemanenceError(
            f"{len(with_replacement)} of {len(forget)} rows to forget have a replacement and row {without.id!r} has "
            "none: give one to each of them, or to none."
        )
    return [_replaced(record, str(record.meta["replacement"])) for record in with_replacement]


def _replaced(record: Record, text: str) -> Record:
    if record.form == "text":
        return replace(record, text=text)
    if record.form == "pair":
        return replace(record, completion=text)
    turns = record.messages
    assert turns, "a record has one of three forms"
    return replace(record, messages=(*turns[:-1], {**turns[-1], "content": text}))


@accepts_old_keywords(limit="max_loss_increase")
@dataclass(frozen=True)
class Constrained(Unlearning):
    """AdamW, with a projection back into the ball around the original weights after every step.

    The ball is checked on float32 weights. Tied embeddings are one tensor, so a ball around them is also one around the
    output layer; `blocks` can exclude them.
    """

    delta: float = 5e-3
    """Radius: no weight moves further than this. Too small changes nothing; a power of ten makes a large difference."""
    norm: Literal["linf", "l2"] = "linf"
    """linf, or l2 over all weights as one vector."""
    relative: bool = False
    """With linf: delta in units of each tensor's root mean square."""
    blocks: str | None = None
    """Regular expression of the names of the weights to train, such as h.0. for the first block of a GPT-2."""
    forget_loss: Literal["npo", "gradient_ascent"] = "npo"
    """Loss of rows without a replacement."""
    beta: float = 0.1
    """Inverse temperature of NPO."""
    alpha: float = 1.0
    """Weight of the loss on retain rows (the paper's FTA); 0 = do not use them (FTM)."""
    _: KW_ONLY
    training: UnlearnSettings = UnlearnSettings(learning_rate=1e-4)
    """Optimizer steps."""

    @property
    def groups(self) -> tuple[str, ...]:
        return ("forget", "retain") if self.alpha else ("forget",)

    def optimize(
        self,
        model: Any,
        tokenizer: Any,
        forget: Sequence[Row],
        retain: Sequence[Row],
        stop: StopCallback,
        instead: Sequence[Row] = (),
    ) -> None:
        """Train within the ball until `stop` returns True; towards the rows `instead`, if there are any."""
        with preserve_requires_grad(model):
            names = list(select_trainable(model, self.blocks))
        weights = {name: weight for name, weight in trainable_state(model).items() if name in names}
        start = {name: weight.detach().clone() for name, weight in weights.items()}
        radii = relative_radii(start, self.delta) if self.relative else self.delta

        def project(_: Any) -> None:
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
            self.training,
            stop=stop,
            after_step=project,
            parameters=names,
        )

    def objective(
        self, model: Any, forget: Batch, retain: Batch | None, reference: ReferenceModel, towards: bool = False
    ) -> Tensor:
        """Loss of the modified rows, or the forget loss of rows without a replacement, plus alpha * retain loss."""
        row_loss = sequence_nll(model, forget)
        if towards:
            loss = nll(*row_loss)
        elif self.forget_loss == "npo":
            loss = npo_loss(row_loss.sum_B, sequence_nll(model, forget, reference).sum_B, self.beta)
        else:
            loss = gradient_ascent(*row_loss)
        return loss if retain is None else loss + self.alpha * nll(*sequence_nll(model, retain))

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target in the best allowed state. Groups of records: forget, retain, heldout."""
        instead = prepare(modified(records), target.render).rows  # pyright: ignore[reportArgumentType]
        return self.apply(target, records, partial(self.optimize, instead=instead))
