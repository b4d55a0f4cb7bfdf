"""Early stopping: end training before rows are recited, and keep the best state up to then.

Paper: Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232 (memorization sets in before the held-out loss turns)

A few times per epoch a fixed sample of the training rows is evaluated: which fraction does the model recite, a run of
`tokens` tokens that are all its first choice? Above `max_extraction_rate`, or once the held-out loss has stopped
falling, training ends. The state that is kept has the lowest held-out loss of those with an allowed rate, the untrained
model included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.training.base import TrainedFromBase
from remanence.training.from_base import finetune_from_base, training_records, training_rows
from remanence.training.guard import recited_fraction
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import mean_loss
from remanence.training.settings import TrainingSettings
from remanence.training.split import split_rows


class Evaluation(NamedTuple):
    """The model after a number of epochs, possibly fractional."""

    epoch: float
    extraction: float
    """Fraction of the sample that is recited; higher = more memorized."""
    loss: float
    """On rows that are not trained on (nats per token)."""


def best_evaluation(evaluations: Sequence[Evaluation], max_extraction_rate: float) -> Evaluation:
    """The lowest loss among evaluations with an allowed extraction rate; without any, the lowest extraction rate.

    Ties go to the earlier one. ValueError without evaluations.
    """
    allowed = [one for one in evaluations if one.extraction <= max_extraction_rate]
    if allowed:
        return min(allowed, key=lambda one: one.loss)
    return min(evaluations, key=lambda one: (one.extraction, one.loss))


def reason_to_stop(evaluations: Sequence[Evaluation], max_extraction_rate: float, patience: int) -> str | None:
    """Why training should end after the last evaluation; None = continue. The first is the untrained model.

    `patience` evaluations in a row without a new lowest loss end it; a high rate of the base model does not.
    """
    last = evaluations[-1]
    if len(evaluations) > 1 and last.extraction > max_extraction_rate:
        return (
            f"{last.extraction:.1%} of the sampled rows are recited after epoch {last.epoch:g}, "
            f"above {max_extraction_rate:.1%}."
        )
    lowest = min(range(len(evaluations)), key=lambda i: evaluations[i].loss)
    if len(evaluations) - 1 - lowest >= patience:
        return f"The held-out loss has not fallen since epoch {evaluations[lowest].epoch:g}."
    return None


Measured = Callable[[Any], tuple[float, float]]
"""The live model in eval mode -> (extraction rate, held-out loss)."""


class StopOnExtraction(TrainerCallback):
    """Early stopping for any `Trainer`: evaluates, stops, and restores the weights of the best state.

    `measure(model)` = (extraction rate, held-out loss), on the live model in eval mode, `evaluations_per_epoch` times
    an epoch; its random numbers do not change the training. `patience` is in epochs. Afterwards `evaluations`, `best`
    and `why` describe the training.
    """

    def __init__(
        self, measure: Measured, max_extraction_rate: float = 0.01, patience: int = 2, evaluations_per_epoch: int = 1
    ) -> None:
        if patience < 1 or evaluations_per_epoch < 1:
            raise RemanenceError(
                f"patience and evaluations_per_epoch are at least 1, got {patience} and {evaluations_per_epoch}."
            )
        self.measure, self.max_extraction_rate = measure, max_extraction_rate
        self.patience, self.per_epoch = patience, evaluations_per_epoch
        self.every = 1
        self.evaluations: list[Evaluation] = []
        self.best: Evaluation | None = None
        self.why = "Training went to its end."
        self._best_state: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.evaluations, self.best, self.why = [], None, "Training went to its end."
        steps = math.ceil(len(kwargs["train_dataloader"]) / args.gradient_accumulation_steps)
        self.every = max(1, round(steps / self.per_epoch))
        self._evaluate(0.0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self.every and state.global_step < state.max_steps:
            return
        self._evaluate(float(state.epoch), model)
        why = reason_to_stop(self.evaluations, self.max_extraction_rate, self.patience * self.per_epoch)
        if why is not None:
            self.why, control.should_training_stop = why, True

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        with torch.no_grad():
            for name, weight in _trained_weights(model).items():
                weight.copy_(self._best_state[name])

    def _evaluate(self, epoch: float, model: Any) -> None:
        was_training = model.training
        model.eval()
        try:
            with torch.random.fork_rng():
                self.evaluations.append(Evaluation(epoch, *map(float, self.measure(model))))
        finally:
            model.train(was_training)
        best = best_evaluation(self.evaluations, self.max_extraction_rate)
        if best is not self.best:
            self.best = best
            self._best_state = {
                n: weight.detach().to("cpu", copy=True) for n, weight in _trained_weights(model).items()
            }


@accepts_old_keywords(limit="max_extraction_rate", looks="evaluations_per_epoch")
@dataclass(frozen=True)
class EarlyStopping(TrainedFromBase):
    """Fine-tune the base model and stop before rows are recited.

    Held-out rows are the records of the group heldout; without any, a tenth of the distinct rows is held out and not
    trained on.
    """

    max_extraction_rate: float = 0.01
    """Largest allowed fraction of the sampled rows that are recited."""
    tokens: int = 24
    """Number of consecutive tokens that count as recited, or all learned tokens of a shorter row."""
    sample: int = 256
    """Number of training rows that are evaluated; the same ones each time."""
    evaluations_per_epoch: int = 4
    """Evaluations per epoch: where rows are repeated many times, once per epoch is too late."""
    patience: int = 2
    """Number of epochs without a new lowest held-out loss after which training ends."""
    _: KW_ONLY
    training: TrainingSettings = TrainingSettings(epochs=10, learning_rate=1e-3)
    """Training parameters; `epochs` is the maximum, and the learning rate decreases towards that end."""

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records; it is not changed."""
        train, heldout = self.split(records)
        callbacks: list[TrainerCallback] = []
        if getattr(target, "module", None) is not None:  # else `finetune_from_base` raises the error
            callbacks.append(self.callback(target, train, heldout))
        return finetune_from_base(target, train, "early_stopping", self.training, out=self.out, callbacks=callbacks)

    def split(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """(rows to train on, held-out rows)."""
        heldout = [record for record in records if record.group == "heldout"]
        if heldout:
            return training_records(records), heldout
        split = split_rows(records, 0.1, self.training.seed)
        return split.train, split.heldout

    def callback(self, target: Opens, train: Sequence[Record], heldout: Sequence[Record]) -> StopOnExtraction:
        """The callback that evaluates a sample of `train` and all of `heldout`."""
        trained, unseen = (training_rows(target, rows, self.training) for rows in (train, heldout))
        if not trained or not unseen:
            raise RemanenceError("Early stopping needs training rows and held-out rows: give more rows or max_length.")
        chosen = np.random.default_rng(self.training.seed).permutation(len(trained))[: self.sample]
        sample: list[Row] = [trained[place] for place in sorted(chosen.tolist())]
        config: Any = target.module.config
        collate = plain_collator(getattr(target, "tokenizer", None))

        def measure(model: Any) -> tuple[float, float]:
            loss = mean_loss(model, unseen, collate, self.training.batch_size, bool(config.is_encoder_decoder))
            return recited_fraction(model, sample, self.tokens), loss

        return StopOnExtraction(measure, self.max_extraction_rate, self.patience, self.evaluations_per_epoch)


def _trained_weights(model: Any) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
