"""Trains a base model again: in another way, or on other rows; what comes back has the form of what was given.

The one road of every mitigation that works before or during training. The base model itself is never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import TrainerCallback

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.models.load import Loaded, load_model, quiet
from remanence.training.finetune import renderer_for, train_rows
from remanence.training.opening import dropout_names, lora, open_for_training, with_adapter
from remanence.training.prepare import Prepared, prepare
from remanence.training.rows import Row
from remanence.training.settings import FinetuneSettings
from remanence.training.trainers import Collator
from remanence.training.watching import save

Train = Callable[[Loaded, Prepared, FinetuneSettings, Path], Any]
"""A way to train of its own: (opened model, rows, settings, folder for scratch) -> the trained model in eval mode."""


FIELDS = ("epochs", "learning_rate", "batch_size", "max_length", "loss_on", "seed", "lora_rank")
"""Fields of training that every mitigation which trains again has, called as in `FinetuneSettings`."""


def settings_of(method: Any, **more: Any) -> FinetuneSettings:
    """How such a mitigation trains; `more` are further settings of its own."""
    return FinetuneSettings(**{name: getattr(method, name) for name in FIELDS}, **more)


def train_again(
    target: Opens,
    records: Sequence[Record],
    name: str,
    settings: FinetuneSettings,
    *,
    out: str | Path | None = None,
    heldout: Sequence[Record] = (),
    collator: Callable[[Collator], Collator] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    on_trainer: Callable[[Any], None] | None = None,
    train: Train | None = None,
) -> Opens:
    """The target "NAME+method", fine-tuned from the base `target` on `records`, on the same device.

    Records of group "heldout" are not trained on.
    `settings.lora_rank` puts a fresh adapter on the base and trains nothing else. `out` is a folder for weights and
    tokenizer; None keeps the model in memory only. `collator`, `callbacks` and `on_trainer` are those of `train_rows`;
    `train` takes its place. The loss on `heldout` is in the Trainer's log. Raises `RemanenceError` for a target that is
    no whole model, and for a folder `out` that holds something already.
    """
    module: Any = getattr(target, "module", None)
    tokenizer: Any = getattr(target, "tokenizer", None)
    if module is None or tokenizer is None or hasattr(module, "peft_config"):
        raise RemanenceError(
            f"{name} trains the base model again, and {target.name} is none that can be trained: "
            "load the base model's whole folder (for an adapter: lora_rank trains a new one on it)."
        )
    folder = None if out is None else Path(out)
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise RemanenceError(f"{folder.name} holds something already, and nothing is overwritten: name a new folder.")
    with TemporaryDirectory() as scratch, quiet():
        base, place = Path(scratch) / "base", folder or Path(scratch) / "out"
        module.save_pretrained(base)
        tokenizer.save_pretrained(base)
        loaded = open_for_training(base, dropout=_dropout(module, settings), loss_on=settings.loss_on)
        renderer = renderer_for(loaded, settings)
        rows = prepare(trained_on(records), renderer)
        if train is not None:
            trained = train(loaded, rows, settings, Path(scratch))
        else:
            trained = train_rows(
                loaded,
                rows,
                settings,
                Path(scratch),
                base=base,
                heldout=prepare(heldout, renderer).rows,
                collator=collator,
                callbacks=callbacks,
                on_trainer=on_trainer,
                progress=False,
            ).model
        adapter = hasattr(trained, "peft_config")
        if adapter:  # it names the base by what outlives this call, which the scratch folder does not
            trained.peft_config["default"].base_model_name_or_path = str(module.name_or_path) or target.name
        save(trained, loaded.tokenizer, place)
        again = load_model(place, base=base if adapter else None)
    if not adapter and folder is None:
        again.model.name_or_path = f"{target.name}+{name}"
    made: Any = copy.copy(target)
    made.module = again.model.to(next(module.parameters()).device)
    made.name, made.fingerprint = f"{target.name}+{name}", again.fingerprint
    return made


def trained_on(records: Sequence[Record]) -> list[Record]:
    """The records without those of group "heldout"."""
    return [record for record in records if record.group != "heldout"]


def with_lora(loaded: Loaded, settings: FinetuneSettings) -> Loaded:
    """The opened model behind the adapter that the settings ask for, or as it is."""
    if settings.lora_rank is None:
        return loaded
    adapter = lora(settings.lora_rank, settings.lora_alpha, settings.dropout, loaded.family)
    return replace(loaded, model=with_adapter(loaded.model, adapter, loaded.name))


def learned_rows(target: Opens, records: Sequence[Record], settings: FinetuneSettings) -> list[Row]:
    """These records, of whatever group, as rows that `train_again` would make; for callbacks that look at some."""
    module: Any = target.module
    tokenizer: Any = getattr(target, "tokenizer", None)
    config = module.config.get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    seq2seq = bool(module.config.is_encoder_decoder)
    loaded = Loaded(module, tokenizer, "seq2seq" if seq2seq else "causal", target.name, "", 0, context, False)
    return prepare(records, renderer_for(loaded, settings)).rows


def _dropout(module: Any, settings: FinetuneSettings) -> float | None:
    """The dropout asked for; none of it in a model that has none is no error."""
    if settings.dropout == 0 and not dropout_names(module.config.to_dict()):
        return None
    return settings.dropout
