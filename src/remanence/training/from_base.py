"""Fine-tunes a base model once more, in another way or on other rows; used by every mitigation that works in training.

The result has the form of the given target. The base model itself is not changed.
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
from remanence.training.callbacks import save_model
from remanence.training.finetune import renderer_for, train_rows
from remanence.training.opening import dropout_names, lora, open_for_training, with_adapter
from remanence.training.prepare import Prepared, prepare
from remanence.training.rows import Collator, Row
from remanence.training.settings import TrainingSettings, finetune_settings

Train = Callable[[Loaded, Prepared, TrainingSettings, Path], Any]
"""A custom training: (loaded model, rows, settings, scratch folder) -> the trained model in eval mode."""


def finetune_from_base(
    target: Opens,
    records: Sequence[Record],
    name: str,
    settings: TrainingSettings,
    *,
    out: str | Path | None = None,
    heldout: Sequence[Record] = (),
    collator: Callable[[Collator], Collator] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    on_trainer: Callable[[Any], None] | None = None,
    train: Train | None = None,
) -> Opens:
    """The target "NAME+method", fine-tuned from the base `target` on `records`, on the same device.

    Records of group "heldout" are not trained on. With `settings.lora_rank` only a new adapter on the base is trained.
    `out`: folder for weights and tokenizer; None keeps the model in memory only. `collator`, `callbacks` and
    `on_trainer` as in `train_rows`; `train` replaces it. The loss on `heldout` is in the Trainer's log. Raises
    `RemanenceError` for a target that is not a whole model, and for a folder `out` that is not empty.
    """
    module: Any = getattr(target, "module", None)
    tokenizer: Any = getattr(target, "tokenizer", None)
    if module is None or tokenizer is None or hasattr(module, "peft_config"):
        raise RemanenceError(
            f"{name} fine-tunes the base model again, and {target.name} cannot be fine-tuned: "
            "load the base model's complete folder (to train an adapter on it, set lora_rank)."
        )
    folder = None if out is None else Path(out)
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise RemanenceError(f"The folder {folder.name} is not empty, and nothing is overwritten: name a new folder.")
    with TemporaryDirectory() as scratch, quiet():
        base, place = Path(scratch) / "base", folder or Path(scratch) / "out"
        module.save_pretrained(base)
        tokenizer.save_pretrained(base)
        loaded = open_for_training(base, dropout=_dropout(module, settings), loss_on=settings.loss_on)
        renderer = renderer_for(loaded, settings)
        rows = prepare(training_records(records), renderer)
        if train is not None:
            trained = train(loaded, rows, settings, Path(scratch))
        else:
            trained = train_rows(
                loaded,
                rows,
                finetune_settings(settings),
                Path(scratch),
                base=base,
                heldout=prepare(heldout, renderer).rows,
                collator=collator,
                callbacks=callbacks,
                on_trainer=on_trainer,
                progress=False,
            ).model
        adapter = hasattr(trained, "peft_config")
        if adapter:  # its config must not name the scratch folder, which is removed at the end
            trained.peft_config["default"].base_model_name_or_path = str(module.name_or_path) or target.name
        save_model(trained, loaded.tokenizer, place)
        reloaded = load_model(place, base=base if adapter else None)
    if not adapter and folder is None:
        reloaded.model.name_or_path = f"{target.name}+{name}"
    result: Any = copy.copy(target)
    result.module = reloaded.model.to(next(module.parameters()).device)
    result.name, result.fingerprint = f"{target.name}+{name}", reloaded.fingerprint
    return result


def training_records(records: Sequence[Record]) -> list[Record]:
    """The records without those of group "heldout"."""
    return [record for record in records if record.group != "heldout"]


def with_lora(loaded: Loaded, settings: TrainingSettings) -> Loaded:
    """The loaded model with the adapter that the settings ask for, or unchanged."""
    if settings.lora_rank is None:
        return loaded
    adapter = lora(settings.lora_rank, settings.lora_alpha, settings.dropout, loaded.family)
    return replace(loaded, model=with_adapter(loaded.model, adapter, loaded.name))


def training_rows(target: Opens, records: Sequence[Record], settings: TrainingSettings) -> list[Row]:
    """The records, of any group, as the rows that `finetune_from_base` would train on; for callbacks."""
    module: Any = target.module
    tokenizer: Any = getattr(target, "tokenizer", None)
    config = module.config.get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    seq2seq = bool(module.config.is_encoder_decoder)
    loaded = Loaded(module, tokenizer, "seq2seq" if seq2seq else "causal", target.name, "", 0, context, False)
    return prepare(records, renderer_for(loaded, settings)).rows


def _dropout(module: Any, settings: TrainingSettings) -> float | None:
    """The dropout of the settings; a dropout of 0 is allowed for a model without dropout."""
    if settings.dropout == 0 and not dropout_names(module.config.to_dict()):
        return None
    return settings.dropout
