"""Trains so that no single row can show much: Poisson batches, every row's gradient clipped, normal noise on their sum.

The `Trainer` of transformers around opacus (`pip install 'remanence[dp]'`), which finds the gradients of single rows;
`remanence.stats.privacy` counts what they give away. The unit of privacy is the row: rows are never packed.
"""

from __future__ import annotations

import inspect
import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from remanence.core.errors import RemanenceError
from remanence.stats.privacy import calibrate_sigma, rdp_epsilon
from remanence.training.rows import Row
from remanence.training.sequences import is_seq2seq, sequence_nll
from remanence.training.trainers import Collator


@dataclass(frozen=True)
class DPConfig:
    """How much a training may give away, and what is done for it."""

    target_epsilon: float = 8.0
    """Reached at the end of training; the noise follows from it. Infinite = no noise."""
    target_delta: float | None = None
    """None = 1 / number of rows."""
    max_grad_norm: float = 1.0
    """C: length to which each row's gradient is cut, over all trained weights together."""
    noise_multiplier: float | None = None
    """sigma: noise in units of C, in place of `target_epsilon`."""
    noise_seed: int | None = None
    """Whoever knows it can take the noise off again; None = drawn from the operating system and forgotten."""

    def __post_init__(self) -> None:
        for name in ("target_epsilon", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise RemanenceError(f"{name} must be above 0, got {getattr(self, name)}.")
        if not math.isfinite(self.max_grad_norm):
            raise RemanenceError("Without a clipping norm a row can show anything: give max_grad_norm a number.")
        if self.target_delta is not None and not 0 < self.target_delta < 1:
            raise RemanenceError(f"target_delta is a probability above 0 and below 1, got {self.target_delta}.")
        if self.noise_multiplier is not None and not self.noise_multiplier >= 0:
            raise RemanenceError(f"noise_multiplier must be at least 0, got {self.noise_multiplier}.")


class Spent(NamedTuple):
    """The privacy of a training."""

    epsilon: float
    delta: float
    sigma: float
    """Noise in units of the clipping norm."""
    q: float
    """Probability of a row to be in a step."""
    steps: int
    rows: int
    clip: float
    secret: bool
    """Whether the noise was drawn from a seed that nobody keeps."""


def plan(config: DPConfig, rows: int, batch_size: float, epochs: float, steps: int | None = None) -> Spent:
    """What a training of so many epochs, or of so many steps, will have spent at its end.

    ValueError for an epsilon out of reach.
    """
    if rows < 2:
        raise RemanenceError(f"DP-SGD hides a row among others, and there are {rows}: give more rows.")
    q = min(1.0, batch_size / rows)
    if steps is None:
        steps = math.ceil(epochs * steps_per_epoch(q))
    delta = 1 / rows if config.target_delta is None else config.target_delta
    sigma = config.noise_multiplier
    if sigma is None:
        sigma = calibrate_sigma(config.target_epsilon, delta, q, steps)
    secret = config.noise_seed is None
    return Spent(rdp_epsilon(q, sigma, steps, delta), delta, sigma, q, steps, rows, config.max_grad_norm, secret)


def steps_per_epoch(q: float) -> int:
    """Steps in which a row is expected to be met once."""
    return max(1, round(1 / q))


def privacy_statement(spent: Spent, copies: int = 1) -> str:
    """What may be said about the trained model, and on what conditions; `copies` = how often a row stands at most."""
    if math.isinf(spent.epsilon):
        said = "There was no noise, so this training promises nothing: epsilon is infinite."
    else:
        said = (
            f"The training is ({spent.epsilon:.2f}, {spent.delta:.1e})-differentially private for adding or removing "
            f"one of {spent.rows} rows: {spent.steps} steps, each row in a step with probability {spent.q:.3g}, "
            f"gradients clipped to {spent.clip:g}, noise {spent.sigma:.3g} times that (RDP accountant, an upper bound)."
        )
        if copies > 1:
            said += f" A row that stands {copies} times has {copies * spent.epsilon:.1f} at best: deduplicate first."
        if not spent.secret:
            said += " The seed of the noise was given: whoever knows it can undo the noise, and then nothing holds."
    return (
        f"{said} It does not cover a base model that has seen the rows before, settings chosen by looking at results "
        "on these rows, or losses logged in training; the noise comes from PyTorch's generator, not from a "
        "cryptographic one."
    )


class PoissonBatches:
    """Batches of row numbers in which every row stands with probability q, by a coin of its own; some are empty."""

    def __init__(self, rows: int, q: float, seed: int) -> None:
        self.rows, self.q = rows, q
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return steps_per_epoch(self.q)

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(len(self)):
            yield torch.nonzero(torch.rand(self.rows, generator=self.generator) < self.q).flatten().tolist()


class PrivateTrainer(Trainer):
    """A `Trainer` whose `per_device_train_batch_size` is the expected size of a batch.

    The loss of a batch is the mean over rows of each row's mean over its tokens. `physical` is the number of rows in a
    forward pass, for memory: it changes nothing else. `spent` says what the whole training gives away.
    """

    def __init__(
        self,
        model: Any,
        args: TrainingArguments,
        rows: Sequence[Row],
        collator: Collator,
        config: DPConfig | None = None,
        physical: int = 16,
        **more: Any,
    ) -> None:
        require_opacus()
        if args.gradient_accumulation_steps != 1:
            raise RemanenceError("DP-SGD takes a step per Poisson batch: leave gradient accumulation at 1.")
        if max(args.n_gpu, args.world_size) > 1:
            raise RemanenceError("DP-SGD trains on one device: hide the others, as with CUDA_VISIBLE_DEVICES=0.")
        if is_seq2seq(model) and not hasattr(model, "peft_config"):
            raise RemanenceError(
                "The gradients of single rows cannot be had for all weights of an encoder-decoder: train an adapter "
                "with lora_rank."
            )
        args.max_grad_norm = 0.0  # rows are clipped one by one, and noise must not be
        self.config = config or DPConfig()
        steps = args.max_steps if args.max_steps > 0 else None
        self.spent = plan(self.config, len(rows), args.per_device_train_batch_size, args.num_train_epochs, steps)
        self.rows, self.collate, self.physical = rows, collator, physical
        seed = secrets.randbits(62) if self.config.noise_seed is None else self.config.noise_seed
        self.batches = PoissonBatches(len(rows), self.spent.q, seed)
        self.noise_seed = seed + 1
        super().__init__(model=model, args=args, train_dataset=_Numbers(len(rows)), **more)
        self.remove_callback(PrinterCallback)
        self.hooks: Any = None

    def get_train_dataloader(self) -> Any:
        """Poisson batches, for shuffling without replacement is not what the accountant assumes."""
        return DataLoader(_Numbers(len(self.rows)), batch_sampler=self.batches, collate_fn=self._batch)  # pyright: ignore

    def _batch(self, places: Sequence[int]) -> dict[str, Tensor]:
        if places:
            return self.collate([self.rows[place] for place in places])
        return {name: torch.zeros(0, 1, dtype=torch.long) for name in ("input_ids", "attention_mask", "labels")}

    def create_optimizer(self, model: Any = None) -> Any:
        """The optimizer that the arguments name, fed with clipped and noised gradients."""
        from opacus.grad_sample.grad_sample_module import GradSampleHooks
        from opacus.optimizers import DPOptimizer

        if self.hooks is None:
            plain = super().create_optimizer(model)
            opened: Any = self.model
            self.hooks = GradSampleHooks(opened, strict=False)
            device = next(p for p in opened.parameters() if p.requires_grad).device
            self.private: Any = DPOptimizer(
                plain,
                noise_multiplier=self.spent.sigma,
                max_grad_norm=self.spent.clip,
                expected_batch_size=cast("int", self.spent.q * self.spent.rows),  # not that of this very batch
                generator=torch.Generator(device).manual_seed(self.noise_seed),
            )
            self.optimizer = self.private
        return self.private

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Gradients of the batch's rows, `physical` at a time; returns the mean loss of the rows."""
        _ = model.train()
        self.private.zero_grad()
        batch: Any = self._prepare_inputs(inputs)
        count = len(batch["input_ids"])
        total = torch.zeros((), device=batch["input_ids"].device)
        for at in range(0, count, self.physical):
            part = {name: value[at : at + self.physical] for name, value in batch.items()}
            losses = row_losses(model, part)
            losses.mean().backward()
            total += losses.detach().sum() / count
            if at + self.physical < count:
                self.private.signal_skip_step(True)
                self.private.step()
                self.private.zero_grad()
        if not count:
            for weight in self.private.params:  # an empty batch still gets its noise
                weight.grad_sample = weight.new_zeros((0, *weight.shape))  # pyright: ignore
        return total

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As `Trainer.train`; the hooks that look at single rows are gone afterwards."""
        try:
            return super().train(*args, **kwargs)
        finally:
            self.unhook()

    def unhook(self) -> None:
        """Leave the model as a model without hooks."""
        if self.hooks is not None:
            self.hooks.remove_hooks()
            self.hooks = None
        opened: Any = self.model
        for weight in opened.parameters():
            for name in ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample"):
                if hasattr(weight, name):
                    delattr(weight, name)


def row_losses(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """[B] each row's mean loss over its own tokens (nats), so that no row's gradient depends on another row.

    Positions are given for every row, because GPT-2 makes one row of them for the whole batch.
    """
    whole: Any = model.get_base_model() if hasattr(model, "peft_config") else model
    if "position_ids" in inspect.signature(whole.forward).parameters:
        rows, width = batch["input_ids"].shape
        places = torch.arange(width, device=batch["input_ids"].device).expand(rows, -1)
        batch = {**batch, "position_ids": places}
    found = sequence_nll(model, batch)
    return found.sum_B / found.tokens_B.clamp(min=1)


def require_opacus() -> None:
    """Raises `RemanenceError` with the remedy where opacus is missing."""
    try:
        import opacus  # noqa: F401  # pyright: ignore
    except ImportError:
        raise RemanenceError("DP-SGD needs opacus: pip install 'remanence[dp]'.") from None


class _Numbers(torch.utils.data.Dataset[int]):
    """Row numbers, which is all that a batch sampler hands on."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> int:
        return place
