"""What TRL would do to a data file: its trainer is created, checked and never run."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.keywords import takes_settings
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.jobs.preflight.preflight import preflight
from remanence.jobs.preflight.result import Preflight
from remanence.jobs.preflight.settings import PreflightSettings
from remanence.models.load import Loaded, load_model


@takes_settings(PreflightSettings)
def dry_run(
    model: str | Path,
    data: Any,
    *,
    secrets: Sequence[str] = (),
    columns: dict[str, str] | None = None,
    trust_remote_code: bool = False,
    **settings: Any,
) -> Preflight:
    """Pre-flight check of TRL's `SFTTrainer` on these rows; nothing is trained and nothing written.

    `model`: folder or Hub name. `secrets`: texts that must be learned whole. `settings`: the fields of
    `PreflightSettings`. Raises `RemanenceError` for what TRL cannot train.
    """
    chosen = PreflightSettings(**settings)
    column_names = {f"{key}_column": value for key, value in (columns or {}).items()}
    records = records_from(data, group="train", **column_names)
    loaded = load_model(model, trust_remote_code=trust_remote_code)
    if loaded.family == "seq2seq":
        raise RemanenceError(f"{loaded.name} is an encoder-decoder model, and TRL trains only decoder-only models.")
    with tempfile.TemporaryDirectory() as folder:
        trainer = _sft_trainer(loaded, records, Path(folder), chosen)
        return preflight(trainer, records, secrets=secrets)


def _sft_trainer(loaded: Loaded, records: Sequence[Record], folder: Path, settings: PreflightSettings) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the libraries at import and setup
        import datasets
        from trl.trainer.sft_config import SFTConfig
        from trl.trainer.sft_trainer import SFTTrainer

        config = SFTConfig(
            output_dir=str(folder),
            max_length=settings.max_length,
            packing=settings.packing != "none",
            packing_strategy=settings.packing if settings.packing != "none" else "bfd",
            completion_only_loss=None
            if settings.loss_on in {"auto", "assistant"}
            else settings.loss_on == "completion",
            assistant_only_loss=settings.loss_on == "assistant",
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to=[],
        )
        bars_enabled = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            return SFTTrainer(
                model=loaded.model.requires_grad_(True),
                args=config,
                train_dataset=datasets.Dataset.from_list([_columns(record) for record in records]),
                processing_class=loaded.tokenizer,
            )
        except (ValueError, RuntimeError) as error:
            raise RemanenceError(f"TRL rejects these rows or settings: {' '.join(str(error).split())[:300]}") from error
        finally:
            if bars_enabled:
                datasets.enable_progress_bars()


def _columns(record: Record) -> dict[str, Any]:
    """A record in TRL's columns."""
    if record.form == "pair":
        return {"prompt": record.prompt, "completion": record.completion}
    if record.form == "text":
        return {"text": record.text}
    return {"messages": [dict(turn) for turn in record.messages or ()]}
