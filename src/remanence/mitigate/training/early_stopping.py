"""Early stopping: end training before rows come back word for word, and keep the best state up to then.

Paper: Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232 (memorization sets in before the held-out loss turns)

A few times an epoch a fixed sample of the training rows is looked at: which share does the model recite, a run of
`tokens` tokens that are all its first choice? Past `limit`, or once the held-out loss has stopped falling, training
ends. The state that is kept has the lowest held-out loss of those within the limit, the untrained model among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.models.render import LossOn
from remanence.training.from_base import finetune_from_base, settings_of, training_records, training_rows
from remanence.training.guard import recited_fraction
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import mean_loss
from remanence.training.settings import FinetuneSettings
from remanence.training.split import split_rows


class Look(NamedTuple):
    """The model after so many epochs, and parts of one."""

    epoch: float
    extraction: float
    """Share of the sample that is recited; higher = more memorized."""
    loss: float
    """On rows that are not trained on (nats per token)."""


def best_look(looks: Sequence[Look], limit: float) -> Look:
    """The lowest loss among looks whose extraction is at most `limit`; where there is none, the least extraction.

    Ties go to the earlier one. ValueError without looks.
    """
    within = [look for look in looks if look.extraction <= limit]
    if within:
        return min(within, key=lambda look: look.loss)
    return min(looks, key=lambda look: (look.extraction, look.loss))


def should_stop(looks: Sequence[Look], limit: float, patience: int) -> str | None:
    """Why training should end after the last look; None = go on. The first look is the untrained model.

    `patience` looks in a row without a new lowest loss are enough; a base model past the limit does not end it.
    """
    last = looks[-1]
    if len(looks) > 1 and last.extraction > limit:
        return f"{last.extraction:.1%} of the sampled rows are recited after epoch {last.epoch:g}, above {limit:.1%}."
    lowest = min(range(len(looks)), key=lambda i: looks[i].loss)
    if len(looks) - 1 - lowest >= patience:
        return f"The held-out loss has not fallen since epoch {looks[lowest].epoch:g}."
    return None


Measured = Callable[[Any], tuple[float, float]]
"""The live model in eval mode -> (extraction, held-out loss)."""


class StopOnExtraction(TrainerCallback):
    """The same for anyone's `Trainer`: looks `looks` times an epoch, stops, and puts the best state's weights back.

    `patience` is in epochs. `measure(model)` = (extraction, held-out loss), on the live model in eval mode; what it
    draws at random does not change the training. Afterwards `looks`, `best` and `why` tell what was seen.
    """

    def __init__(self, measure: Measured, limit: float = 0.01, patience: int = 2, looks: int = 1) -> None:
        if patience < 1 or looks < 1:
            raise RemanenceError(f"patience (epochs) and looks (per epoch) are at least 1, got {patience} and {looks}.")
        self.measure, self.limit, self.patience, self.per_epoch = measure, limit, patience, looks
        self.every = 1
        self.looks: list[Look] = []
        self.best: Look | None = None
        self.why = "Training went to its end."
        self._kept: dict[str, Tensor] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.looks, self.best, self.why = [], None, "Training went to its end."
        steps = math.ceil(len(kwargs["train_dataloader"]) / args.gradient_accumulation_steps)
        self.every = max(1, round(steps / self.per_epoch))
        self._look(0.0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self.every and state.global_step < state.max_steps:
            return
        self._look(float(state.epoch), model)
        why = should_stop(self.looks, self.limit, self.patience * self.per_epoch)
        if why is not None:
            self.why, control.should_training_stop = why, True

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        with torch.no_grad():
            for name, weight in _trained(model).items():
                weight.copy_(self._kept[name])

    def _look(self, epoch: float, model: Any) -> None:
        was = model.training
        model.eval()
        try:
            with torch.random.fork_rng():
                self.looks.append(Look(epoch, *map(float, self.measure(model))))
        finally:
            model.train(was)
        if best_look(self.looks, self.limit) is not self.best:
            self.best = best_look(self.looks, self.limit)
            self._kept = {name: weight.detach().to("cpu", copy=True) for name, weight in _trained(model).items()}


@dataclass(frozen=True)
class EarlyStopping(Mitigation):
    """Early stopping as a mitigation: fine-tune the base model once more, and end in time.

    Held-out rows are the records of group "heldout"; without any, a tenth of the distinct rows is kept aside and not
    trained on. `epochs` is the longest it may take; the rate falls towards that end.
    """

    limit: float = 0.01
    """Greatest share of the sampled rows that may be recited."""
    tokens: int = 24
    """Tokens in a row that make a recital, or the whole of what is learned in shorter rows."""
    sample: int = 256
    """Training rows that are looked at; the same ones each time."""
    looks: int = 4
    """Looks per epoch: where rows stand many times, a whole epoch is too much."""
    patience: int = 2
    """Epochs without a new lowest held-out loss after which training ends."""
    epochs: float = 10
    learning_rate: float = 1e-3
    batch_size: int = 8
    max_length: int = 512
    loss_on: LossOn = "auto"
    seed: int = 0
    """Order of the rows, the sample, and which rows are kept aside."""
    lora_rank: int | None = None
    """Train a fresh LoRA adapter of this rank and nothing else; None = all weights."""
    out: str | None = None
    """Folder for the trained model; None keeps it in memory only."""

    needs: ClassVar[tuple[str, ...]] = ("base",)

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records, and stays as it is."""
        settings = settings_of(self)
        train, heldout = self.sides(records)
        callbacks: list[TrainerCallback] = []
        if getattr(target, "module", None) is not None:  # else `finetune_from_base` says what is wrong
            callbacks.append(self.watch(target, train, heldout, settings))
        return finetune_from_base(target, train, "early_stopping", settings, out=self.out, callbacks=callbacks)

    def sides(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """(trained on, held out)."""
        heldout = [record for record in records if record.group == "heldout"]
        if heldout:
            return training_records(records), heldout
        split = split_rows(records, 0.1, self.seed)
        return split.train, split.heldout

    def watch(
        self, target: Opens, train: Sequence[Record], heldout: Sequence[Record], settings: FinetuneSettings
    ) -> StopOnExtraction:
        """The callback that looks at a sample of `train` and at all of `heldout`."""
        seen, unseen = (training_rows(target, rows, settings) for rows in (train, heldout))
        if not seen or not unseen:
            raise RemanenceError("Early stopping needs rows to look at on both sides: give more rows or max_length.")
        chosen = np.random.default_rng(self.seed).permutation(len(seen))[: self.sample]
        looked: list[Row] = [seen[place] for place in sorted(chosen.tolist())]
        config: Any = target.module.config
        collate = plain_collator(getattr(target, "tokenizer", None))

        def measure(model: Any) -> tuple[float, float]:
            loss = mean_loss(model, unseen, collate, self.batch_size, bool(config.is_encoder_decoder))
            return recited_fraction(model, looked, self.tokens), loss

        return StopOnExtraction(measure, self.limit, self.patience, self.looks)


def _trained(model: Any) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
