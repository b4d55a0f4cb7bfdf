"""Base classes of the unlearning methods, and how a method is applied to a target and its rows.

Every method after training is an optimization: it changes a model with increasing strength and calls a `StopCallback`
along the way. Which state is kept is decided by the `Guard`, in the same way for all methods.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.run import fingerprint
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.mitigate.unlearning.losses import kl_to_ref, nll
from remanence.training.guard import Guard, recited_fraction
from remanence.training.prepare import prepare
from remanence.training.reference import ReferenceModel, trainable_state
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import Batch, is_seq2seq, mean_loss, predictions, sequence_nll
from remanence.training.settings import UnlearnSettings
from remanence.training.unlearn import Objective, StopCallback, unlearn

Optimize: TypeAlias = Callable[[Any, Any, Sequence[Row], Sequence[Row], StopCallback], None]
"""(model, tokenizer, forget, retain, stop): changes the live model with increasing strength until `stop` is True."""
RetainLoss: TypeAlias = Literal["none", "nll", "kl"]
"""Loss on retain rows: none, their negative log-likelihood, or the KL divergence from the model before unlearning."""

SUBSTITUTE_SHARE = 10
"""Without held-out rows, one retain row in this many is used in their place."""


@dataclass(frozen=True, kw_only=True)
class Unlearning(Mitigation):
    """A method that changes a trained model; records have the groups forget, retain and heldout."""

    training: UnlearnSettings = UnlearnSettings()
    """Optimizer steps of the method."""
    max_loss_increase: float = 0.02
    """Largest allowed relative rise of the held-out loss (0.02 = 2 %); the best state within it is kept."""

    trains_from_base: ClassVar[bool] = False
    """Whether the target must be the base model, which is then fine-tuned again."""
    needs_base_folder: ClassVar[bool] = False
    """Whether the field `base` must name the folder of the base model, unless `models` names peers."""
    unit: ClassVar[str] = "steps"
    """What the strength is counted in."""

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of records that are needed beside those whose loss must not rise (heldout, else a part of retain)."""
        return ("forget", "retain")

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        """Change the live model with increasing strength; `stop(strength, model)` is called along the way."""
        raise NotImplementedError  # abstract

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The target in the best allowed state. Groups of records: forget, retain, heldout."""
        return self.apply(target, records, self.optimize)

    def apply(self, target: Opens, records: Sequence[Record], optimize: Optimize) -> Opens:
        """`apply_unlearning` with these parameters; the new target is named after the method's file."""
        name = type(self).__module__.rsplit(".", 1)[-1]
        return apply_unlearning(
            target, records, optimize, name, self.max_loss_increase, groups=self.groups, seed=self.training.seed
        )


@dataclass(frozen=True, kw_only=True)
class GradientUnlearning(Unlearning):
    """A method that minimises gamma * loss on forget rows + alpha * loss on retain rows."""

    gamma: float = 1.0
    """Weight of the loss on forget rows."""
    alpha: float = 1.0
    """Weight of the loss on retain rows."""

    def objective(self) -> Objective:
        """(model, forget, retain, reference) -> the scalar to minimise."""
        raise NotImplementedError  # abstract

    @property
    def groups(self) -> tuple[str, ...]:
        return ("forget",) if getattr(self, "retain", None) == "none" else ("forget", "retain")

    def optimize(
        self, model: Any, tokenizer: Any, forget: Sequence[Row], retain: Sequence[Row], stop: StopCallback
    ) -> None:
        self.check(retain)
        unlearn(model, tokenizer, forget, retain, self.objective(), self.training, stop=stop)

    def check(self, retain: Sequence[Row]) -> None:
        """Raises `RemanenceError` when the method needs retain rows and there are none."""
        if "retain" in self.groups and not retain:
            raise RemanenceError(f"{type(self).__name__} trains on rows to keep: give rows of the group 'retain'.")


def retain_loss(kind: RetainLoss, model: Any, retain: Batch | None, reference: ReferenceModel) -> Tensor | float:
    """Loss on the retain rows; 0 where there are none, or none is wanted."""
    if kind == "none" or retain is None:
        return 0.0
    if kind == "nll":
        return nll(*sequence_nll(model, retain))
    now, before = predictions(model, retain), predictions(model, retain, reference)
    return kl_to_ref(now.logits_BTV, before.logits_BTV, now.learned_BT)


class GroupedRows(NamedTuple):
    """The rows of an unlearning by their group, in the form that the model takes."""

    forget: list[Row]
    retain: list[Row]
    """Rows that a method may train on to preserve them."""
    heldout: list[Row]
    """Rows that no method trains on; the guard measures the loss on them."""


def group_rows(target: Opens, records: Sequence[Record], needed: Collection[str] = (), seed: int = 0) -> GroupedRows:
    """The records by their group, rendered with the target's own renderer; rows with nothing to learn are left out.

    Without held-out records a fixed tenth of the retain rows is used in their place and not trained on. Raises
    `RemanenceError` when a needed group is empty.
    """
    rows = {
        group: prepare([r for r in records if r.group == group], target.render).rows  # pyright: ignore[reportArgumentType]
        for group in ("forget", "retain", "heldout")
    }
    forget, retain, heldout = rows["forget"], rows["retain"], rows["heldout"]
    if not forget:
        raise RemanenceError("There are no rows to forget: give rows of the group 'forget'.")
    if not heldout:
        order = np.random.default_rng((seed, 7)).permutation(len(retain))
        aside = set(order[: -(-len(retain) // SUBSTITUTE_SHARE)].tolist())
        heldout = [row for place, row in enumerate(retain) if place in aside]
        retain = [row for place, row in enumerate(retain) if place not in aside]
    if not heldout:
        raise RemanenceError(
            "There are no rows whose loss must not rise: give rows of the group 'heldout', or some of 'retain'."
        )
    if "retain" in needed and not retain:
        raise RemanenceError("This method trains on rows to keep: give more rows of the group 'retain'.")
    return GroupedRows(forget, retain, heldout)


def memorization_and_loss(tokenizer: Any, rows: GroupedRows, tokens: int = 24) -> Callable[[Any], tuple[float, float]]:
    """What the guard measures: fraction of forget rows with `tokens` tokens recited, and the held-out loss (nats)."""
    collate = plain_collator(tokenizer)

    def measure(model: Any) -> tuple[float, float]:
        loss = mean_loss(model, rows.heldout, collate, batch_size=16, seq2seq=is_seq2seq(model))
        return recited_fraction(model, rows.forget, tokens), loss

    return measure


def apply_unlearning(
    target: Opens,
    records: Sequence[Record],
    optimize: Optimize,
    name: str,
    max_loss_increase: float = 0.02,
    *,
    groups: Collection[str] = (),
    goal: float = 0.0,
    tokens: int = 24,
    seed: int = 0,
) -> Opens:
    """The unlearned target `target+name`, of the same form (whole model or PEFT), with its own fingerprint.

    A copy of the model is optimized under a `Guard` with this `max_loss_increase` and `goal` (fraction of forget rows
    with a run of `tokens` recited); the best state is returned. `target` is not changed. `seed` selects the retain rows
    that are used in place of missing held-out ones.
    """
    module: Any = getattr(target, "module", None)
    tokenizer: Any = getattr(target, "tokenizer", None)
    if module is None or tokenizer is None:
        raise RemanenceError(f"{name} changes weights, and {target.name} has none: load a model folder.")
    rows = group_rows(target, records, groups, seed)
    model = copy.deepcopy(module).eval()
    guard = Guard(memorization_and_loss(tokenizer, rows, tokens), max_loss_increase, goal)
    optimize(model, tokenizer, rows.forget, rows.retain, guard)
    guard.restore(model)
    return with_changed_model(target, model, name)


def with_changed_model(target: Opens, model: Any, name: str) -> Opens:
    """The same target with another model in it, named `target+name`."""
    changed: Any = copy.copy(target)
    changed.module, changed.name = model.eval(), f"{target.name}+{name}"
    changed.fingerprint = fingerprint(
        target.fingerprint.encode(), name.encode(), weights_digest(trainable_state(model))
    )
    return changed


def weights_digest(weights: Mapping[str, Tensor]) -> bytes:
    """A digest of named tensors."""
    return fingerprint(
        *(
            part
            for key, value in sorted(weights.items())
            for part in (key.encode(), value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        )
    ).encode()
