"""Fine-tunes a model so that what it memorized can be told afterwards: rows kept aside first, everything written down.

Twin of the command `remanence finetune`. The folder it leaves is a model that `remanence audit` opens.
"""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.keywords import takes_settings
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.core.run import Run, fingerprint
from remanence.engine.describe import data_name, versions
from remanence.text.duplicates import contamination
from remanence.training.callbacks import OnEpoch, save_model, silence_transformers
from remanence.training.finetune import Collator, renderer_for, train_rows
from remanence.training.opening import open_for_training
from remanence.training.prepare import Dropped, prepare
from remanence.training.record import (
    as_jsonl,
    collator_name,
    describe_base,
    describe_data,
    describe_loss,
    describe_result,
    describe_rows,
    describe_split,
    training_notes,
)
from remanence.training.settings import FinetuneSettings
from remanence.training.split import Split, split_rows
from remanence.training.template import apply_template

TOLD = "training.json"
LIBRARIES = ("accelerate", "tokenizers", "trl", "datasets")
"""Further packages that the bytes of a trained model depend on."""


@dataclass(frozen=True)
class Finetuned:
    """A trained model's folder and what is written down about it."""

    folder: Path
    record: Mapping[str, Any]
    """The content of `training.json`."""

    def text(self) -> str:
        """What was trained on what, and the losses, for people."""
        rows, result = self.record["rows"], self.record["result"]
        lines = [
            f"Trained on {rows['train']:,} rows in {result['steps']:,} steps; "
            f"passes per row: {rows['passes_per_row']}; rows kept aside: {rows['heldout']:,}.",
            f"{rows['learned_tokens']:,} of {rows['tokens']:,} tokens carry loss ({self.record['loss']}).",
        ]
        if rows["cut"]:
            lines.append(f"Rows cut: {rows['cut']:,}; tokens to learn that were lost: {rows['cut_learned_tokens']:,}.")
        if rows["dropped"]:
            lines.append(f"Rows left out: {len(rows['dropped']):,}; {TOLD} says why.")
        lines = [part for line in [*lines, *self.record["notes"]] for part in textwrap.wrap(line, 96)]
        table = ["epoch   steps   train loss   held-out loss"]
        for epoch in result["epochs"]:
            train, held = (_number(epoch[name]) for name in ("train_loss", "heldout_loss"))
            table.append(f"{epoch['epoch']:>5}{epoch['steps']:>8}{train:>13}{held:>16}")
        return "\n".join([*lines, "", *table])

    def audit_command(self, base: str | Path) -> str:
        """The `remanence audit` line that fits this model."""
        settings, out = self.record["settings"], self.folder
        words = ["remanence", "audit", "--model", str(out), "--base", str(base), "--data", str(out / "train.jsonl")]
        if self.record["rows"]["heldout"]:
            words += ["--heldout", str(out / "heldout.jsonl")]
        if settings["loss_on"] != "auto":
            words += ["--loss-on", settings["loss_on"]]
        if settings["max_length"] is not None:
            words += ["--max-length", str(settings["max_length"])]
        return shlex.join(words)


@takes_settings(FinetuneSettings)
def finetune_job(
    model: str | Path,
    data: Any,
    *,
    out: str | Path = "remanence-model",
    heldout: Any = None,
    columns: dict[str, str] | None = None,
    resume: bool = False,
    trust_remote_code: bool = False,
    on_epoch: OnEpoch | None = None,
    callbacks: Sequence[Any] = (),
    collator: Callable[[Collator], Collator] | None = None,
    show_progress: bool = True,
    **settings: Any,
) -> Finetuned:
    """Splits the rows, trains `model` on one side, and writes into `out` the model and all that an audit must know.

    `out` gets the model, `train.jsonl` and `heldout.jsonl` (the rows exactly as trained on and as kept aside, after the
    template, without those that nothing could be learned from), `training.json`, and with `save_epochs` a model per
    epoch. `data` and `heldout` as for `remanence.audit`; with `heldout`, nothing is kept aside of `data`, and its rows
    that have a twin in training are left out. `settings`: the fields of `FinetuneSettings`. `on_epoch`, `callbacks` and
    `collator` as for `remanence.training.finetune.finetune`; what they do is the caller's to repeat on `resume`.

    `resume` takes up a training that was killed. Optimizer states are not kept, so it begins again at the first step;
    on a CPU it ends with the same bytes. Raises `RemanenceError` on bad input and for a folder with anything else.
    """
    chosen = FinetuneSettings(**settings)
    if chosen.epochs != int(chosen.epochs):
        raise RemanenceError(f"--epochs is a whole number, so that every row is passed as often; got {chosen.epochs}.")
    folder = Path(out)
    refuse_taken(folder, resume=resume)
    named: dict[str, Any] = {f"{key}_column": value for key, value in (columns or {}).items()}
    records = records_from(data, group="train", **named)
    aside = None if heldout is None else records_from(heldout, group="heldout", **named)
    given = None if aside is None else describe_data(data_name(heldout), aside)
    split, twins = _sides(records, aside, chosen)
    with silence_transformers():
        loaded = open_for_training(
            model, dropout=chosen.dropout, loss_on=chosen.loss_on, trust_remote_code=trust_remote_code
        )
        worded = [
            side if chosen.template is None else apply_template(chosen.template, side)
            for side in (split.train, split.heldout)
        ]
        train, held = (prepare(side, renderer_for(loaded, chosen)) for side in worded)
        lines = {"train.jsonl": as_jsonl(train.records), "heldout.jsonl": as_jsonl(held.records)}
        spec: dict[str, Any] = {
            "settings": {**chosen.spec(), "epochs": int(chosen.epochs)},
            "base": describe_base(loaded),
            "data": describe_data(data_name(data), records),
            "split": describe_split(split, chosen, given),
            "files": {name: fingerprint(text.encode()) for name, text in lines.items()},
            "loss": describe_loss(train.records, chosen),
            "rows": describe_rows(train, held, twins, chosen),
            "notes": training_notes(chosen),
            "collator": None if collator is None else collator_name(collator),
            "versions": {**versions(), **{name: metadata.version(name) for name in LIBRARIES}},
        }
        run = _begin(folder, spec)
        done = run.read_json(TOLD) if run.has(TOLD) else {}
        if "result" in done:
            return Finetuned(folder, done)
        run.write_json(TOLD, spec)
        for name, text in lines.items():
            run.write_text(name, text)
        trained = train_rows(
            loaded,
            train,
            chosen,
            folder,
            base=model,
            heldout=held.rows,
            on_epoch=on_epoch,
            callbacks=callbacks,
            collator=collator,
            progress=show_progress,
        )
        save_model(trained.model, loaded.tokenizer, folder)
        run.write_json(TOLD, {**spec, "result": describe_result(trained, folder)})
    return Finetuned(folder, run.read_json(TOLD))


def refuse_taken(folder: Path, *, resume: bool) -> None:
    """Raise `RemanenceError` for a folder that holds a training (unless it is to be resumed) or anything else."""
    if (folder / TOLD).exists():
        if not resume:
            raise RemanenceError(
                f"{folder} already holds a training: add --resume to go on with it, or name another --out."
            )
    elif folder.exists() and (not folder.is_dir() or any(path.suffix != ".part" for path in folder.iterdir())):
        raise RemanenceError(f"{folder} is not empty and not a training: name another --out.")


def _sides(
    records: list[Record], aside: list[Record] | None, settings: FinetuneSettings
) -> tuple[Split, list[Dropped]]:
    """The two sides, and the held-out rows given that have a twin in training."""
    if aside is None:
        return split_rows(records, settings.heldout_share, settings.seed, settings.split_by), []
    seen = contamination([r.plain for r in records], [r.plain for r in aside]).tolist()
    clean = [record for record, twin in zip(aside, seen, strict=True) if not twin]
    twins = [record for record, twin in zip(aside, seen, strict=True) if twin]
    return Split(records, clean, 0), [Dropped(r.id, "it has a copy or near-duplicate in training") for r in twins]


def _begin(folder: Path, spec: Mapping[str, Any]) -> Run:
    """The folder of this training. Raises `RemanenceError` when it holds one with other settings."""
    run = Run(folder)
    if run.has(TOLD):
        old = run.read_json(TOLD)
        same = json.loads(json.dumps(spec))
        changed = sorted(k for k in {*old, *same} - {"result"} if old.get(k) != same.get(k))
        if changed:
            raise RemanenceError(
                f"{folder} holds a training with other settings ({', '.join(changed)}): name another --out."
            )
    return run


def _number(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.3f}"
