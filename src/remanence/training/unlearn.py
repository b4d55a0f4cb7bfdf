"""Trains a model to forget some rows and keep others, with Hugging Face's `Trainer`.

Every step pairs a batch of forget rows with as many retain rows; the objective combines the two
(`remanence.mitigate.unlearning`). Each epoch uses every forget row once; retain rows come from a shuffled list that is
shuffled again when it is exhausted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from remanence.core.errors import RemanenceError
from remanence.training.callbacks import silence_transformers
from remanence.training.reference import (
    ReferenceModel,
    eval_mode,
    preserve_requires_grad,
    select_trainable,
    set_trainable,
)
from remanence.training.rows import Collator, Row, plain_collator
from remanence.training.sequences import Batch as Batch
from remanence.training.sequences import sequence_nll as sequence_nll
from remanence.training.sequences import unwrapped
from remanence.training.settings import UnlearnSettings as UnlearnSettings

Objective: TypeAlias = Callable[[Any, Batch, "Batch | None", ReferenceModel], Tensor]
"""(model, forget, retain, reference) -> a scalar to minimise; `retain` is None where there are no retain rows."""
StopCallback: TypeAlias = Callable[[float, Any], bool]
"""Called with the strength reached (optimizer steps, or lambda) and the live model in eval mode; True = stop."""

_OPTIMIZERS = {"adamw": "adamw_torch", "sgd": "sgd"}


def training_arguments(settings: UnlearnSettings, model: Any, out: Path | str) -> TrainingArguments:
    """The settings as `TrainingArguments` for this model; nothing is saved or reported."""
    cpu = next(model.parameters()).device.type == "cpu"
    return TrainingArguments(
        output_dir=str(out),
        max_steps=settings.steps,
        learning_rate=settings.rate_for(model),
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        max_grad_norm=settings.max_grad_norm,
        optim=_OPTIMIZERS.get(settings.optimizer, settings.optimizer),
        weight_decay=0.0,
        seed=settings.seed,
        use_cpu=cpu,
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


class Pair(NamedTuple):
    """A forget row and the retain row that goes with it."""

    forget: Row
    retain: Row | None


class ForgetRetain(torch.utils.data.Dataset[Pair]):
    """Every forget row once, each time with the next retain row."""

    def __init__(self, forget: Sequence[Row], retain: Sequence[Row] = (), seed: int = 0) -> None:
        self.forget, self.retain = forget, retain
        self.places = self._shuffled(seed)

    def _shuffled(self, seed: int) -> Iterator[int]:
        rng = np.random.default_rng((seed, 6))
        while True:
            yield from rng.permutation(len(self.retain)).tolist()

    def __len__(self) -> int:
        return len(self.forget)

    def __getitem__(self, place: int) -> Pair:
        return Pair(self.forget[place], self.retain[next(self.places)] if self.retain else None)


@dataclass(frozen=True)
class ForgetRetainCollator:
    """Pairs as a batch {"forget": ..., "retain": ...}, each made by the collator `base`."""

    base: Collator

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, Batch]:
        retain = [pair.retain for pair in pairs if pair.retain is not None]
        batch = {"forget": self.base([pair.forget for pair in pairs])}
        return {**batch, "retain": self.base(retain)} if retain else batch


class UnlearnTrainer(Trainer):
    """The `Trainer` of transformers for batches of forget and retain rows; it takes all arguments of `Trainer`.

    The loss of a step under gradient accumulation is the mean over its forward passes. `reference` stores the weights
    that require a gradient (`set_trainable` sets which) as they are when the trainer is created.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        tokenizer: Any,
        forget: Sequence[Row],
        retain: Sequence[Row],
        objective: Objective,
        **more: Any,
    ) -> None:
        if not forget:
            raise RemanenceError("There are no rows to forget: give rows of the group 'forget'.")
        if not any(weight.requires_grad for weight in model.parameters()):
            set_trainable(model)
        self.objective = objective
        self.reference = ReferenceModel(model)
        args.remove_unused_columns = False  # the model's forward pass has no argument of these names
        more.setdefault("data_collator", ForgetRetainCollator(plain_collator(tokenizer)))
        super().__init__(model=model, args=args, train_dataset=ForgetRetain(forget, retain, args.seed), **more)
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective of a batch {"forget": ..., "retain": ...}."""
        loss = self.objective(model, inputs["forget"], inputs.get("retain"), self.reference)
        return (loss, {}) if return_outputs else loss

    @torch.no_grad()
    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """The objective on a batch of evaluation pairs; such a batch has no logits to return."""
        with self.compute_loss_context_manager():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None


class _StepCallback(TrainerCallback):
    """Calls `after_step` after every optimizer step, and `stop` after every `every` steps."""

    def __init__(self, every: int, stop: StopCallback | None, after_step: Callable[[Any], None] | None) -> None:
        self.every, self.stop, self.after_step = every, stop, after_step

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.after_step is not None:
            with torch.no_grad():
                self.after_step(model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        step = state.global_step
        if self.stop is not None and (step % self.every == 0 or step == state.max_steps):
            control.should_training_stop |= should_stop(self.stop, float(step), model)


def should_stop(stop: StopCallback, strength: float, model: Any) -> bool:
    """Calls `stop` on the live model in eval mode; its random numbers do not change the training."""
    with eval_mode(model), torch.random.fork_rng(), torch.no_grad():
        return bool(stop(strength, model))


@contextlib.contextmanager
def _preserve_use_cache(model: Any) -> Generator[None]:
    """Restore `config.use_cache`, which a Trainer turns off: without it the model would generate slowly."""
    config: Any = unwrapped(model).config
    before = getattr(config, "use_cache", None)
    try:
        yield
    finally:
        if before is not None:
            config.use_cache = before


def unlearn(
    model: Any,
    tokenizer: Any,
    forget: Sequence[Row],
    retain: Sequence[Row],
    objective: Objective,
    settings: UnlearnSettings,
    *,
    stop: StopCallback | None = None,
    after_step: Callable[[Any], None] | None = None,
    parameters: Collection[str] | str | None = None,
) -> int:
    """Minimise the objective on the live model, in place; returns the number of steps.

    `stop(steps, model)` is called before the first step, after every `check_every` steps and at the end; True stops.
    `after_step(model)` is called after every optimizer step, for projections and masks. `parameters`: names of the
    weights to train, or a regular expression that finds them; default, all trainable weights. Dropout is what the
    model's config says. Afterwards the model is in eval mode and every weight has its old `requires_grad`.
    """
    if stop is not None and should_stop(stop, 0.0, model):
        return 0
    with (
        preserve_requires_grad(model),
        _preserve_use_cache(model),
        silence_transformers(),
        TemporaryDirectory() as scratch,
    ):
        select_trainable(model, parameters)
        torch.manual_seed(settings.seed)
        trainer = UnlearnTrainer(
            model,
            training_arguments(settings, model, scratch),
            tokenizer,
            forget,
            retain,
            objective,
            callbacks=[_StepCallback(settings.check_every, stop, after_step)],
        )
        trainer.train()
        model.zero_grad(set_to_none=True)
    model.eval()
    return int(trainer.state.global_step)
