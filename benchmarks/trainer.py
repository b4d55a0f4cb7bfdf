"""What `AuditCallback` adds to a training, and what pre-flight finds in each of TRL's configurations, on real rows.

The 260,000-parameter Llama and dialogsum of the shared data. `python benchmarks/trainer.py cost|preflight`
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "real"))

import torch
from real_data import SHARED, rows_of
from stories260k import convert
from transformers import PrinterCallback, Trainer, TrainingArguments

from remanence import AuditCallback, preflight
from remanence.core.read import records_from
from remanence.jobs.trainer import callback as module
from remanence.models.load import load_model
from remanence.models.render import Renderer
from remanence.training.prepare import prepare
from remanence.training.rows import plain_collator
from remanence.training.trainers import _Rows

EPOCHS, BATCH, LENGTH, PROBE = 1, 8, 384, 64


def records(count: int, after: int = 0) -> list[Any]:
    """`count` dialogues with their summaries, from the row `after` on."""
    rows = rows_of("dialogsum", "train")[after : after + count]
    return records_from([{"id": str(after + i), **row} for i, row in enumerate(rows)])


def train(base: Path, rows: list[Any], out: Path, callbacks: list[Any]) -> tuple[float, Any]:
    """(CPU seconds of the training, the model)."""
    loaded = load_model(base)
    model = loaded.model.requires_grad_(True).train()
    prepared = prepare(rows, Renderer(loaded.tokenizer, max_length=LENGTH)).rows
    args = TrainingArguments(
        output_dir=str(out), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, learning_rate=1e-3, seed=0,
        use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
        remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    collate: Any = plain_collator(loaded.tokenizer)
    trainer = Trainer(
        model=model, args=args, train_dataset=_Rows(prepared), callbacks=callbacks,
        processing_class=loaded.tokenizer,
        data_collator=lambda items: collate([_row(item) for item in items]),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    began = time.process_time()
    trainer.train()
    return time.process_time() - began, model


def _row(item: Any) -> Any:
    from remanence.training.rows import Row

    return Row(item["input_ids"], item["labels"])


def cost(base: Path, out: Path, count: int) -> None:
    """One epoch with and without looks, each alone; the weights must be equal to the bit. CPU time, one thread."""
    heldout = records(PROBE, after=10_000)
    looking: list[float] = []
    whole = module.AuditCallback._facts

    def timed(self: Any, model: Any) -> Any:
        began = time.process_time()
        found = whole(self, model)
        looking.append(time.process_time() - began)
        return found

    module.AuditCallback._facts = timed  # type: ignore[method-assign]
    _ = train(base, records(32), out, [AuditCallback(heldout=heldout, new_tokens=8, show=False)])  # warm up
    looking.clear()
    rows = records(count)
    plain, one = train(base, rows, out, [])
    callback = AuditCallback(heldout=heldout, new_tokens=8, max_length=LENGTH)
    watched, other = train(base, rows, out, [callback])
    same = all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert same, "the callback changed the training"
    probe = sum(group.tokens for group in callback._groups.values())
    print(f"{count} rows, {probe:,} tokens a look, {callback.preflight.tokens:,} tokens an epoch")  # type: ignore
    print(f"an epoch {plain:.1f} s, with {len(looking)} looks, pre-flight and all {watched:.1f} s (CPU time)")
    print(f"a look {looking[-1]:.2f} s = {100 * looking[-1] / plain:.1f} % of the epoch; weights equal: {same}")


CONFIGS: dict[str, dict[str, Any]] = {
    "no packing, max_length 384": {"max_length": 384},
    "no packing, max_length 256": {"max_length": 256},
    "keep_end, max_length 256": {"max_length": 256, "truncation_mode": "keep_end"},
    "completion_only_loss=False": {"max_length": 384, "completion_only_loss": False},
    "packing bfd, 512": {"packing": True, "packing_strategy": "bfd", "max_length": 512},
    "packing bfd_split, 256": {"packing": True, "packing_strategy": "bfd_split", "max_length": 256},
    "packing wrapped, 512": {"packing": True, "packing_strategy": "wrapped", "max_length": 512},
    "padding_free, no max_length": {"padding_free": True, "max_length": None},
}


def findings(base: Path, out: Path) -> None:
    """A line per configuration of TRL's trainer on 300 rows; the secret is the end of a row's summary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import datasets
        from trl import SFTConfig, SFTTrainer

        datasets.disable_progress_bars()
        rows = records(300)
        secrets = [str(r.completion)[-24:].strip() for r in rows[:40]]
        data = datasets.Dataset.from_list([{"prompt": r.prompt, "completion": r.completion} for r in rows])
        print("| configuration | sequences | with loss | whole | cut | split | left out | secrets whole | others |")
        print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
        for name, config in CONFIGS.items():
            loaded = load_model(base)
            args = SFTConfig(
                output_dir=str(out), use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False,
                dataset_num_proc=None, **config,
            )  # fmt: skip
            trainer = SFTTrainer(
                model=loaded.model.requires_grad_(True), args=args, train_dataset=data,
                processing_class=loaded.tokenizer,
            )  # fmt: skip
            found = preflight(trainer, rows, secrets=secrets)
            fates = found.rows
            counts = (
                sum(f.parts == 1 and f.fed == f.tokens for f in fates),
                sum(0 < f.fed < f.tokens for f in fates),
                sum(f.parts > 1 for f in fates),
                sum(f.parts == 0 for f in fates),
            )
            whole = sum(s.state == "whole" for s in found.secrets)
            print(
                f"| {name} | {found.sequences} | {100 * found.learned / found.tokens:.0f} % | "
                f"{' | '.join(map(str, counts))} | {whole} | {len(secrets) - whole} |"
            )
            for warning in found.warnings:
                print(f"    {warning}", file=sys.stderr)


def main() -> None:
    """Make the model folder and run a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["cost", "preflight"])
    parser.add_argument("--rows", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        base = convert(SHARED / "stories260k_model", Path(folder) / "base")
        if options.part == "cost":
            cost(base, Path(folder) / "out", options.rows)
        else:
            findings(base, Path(folder) / "out")


if __name__ == "__main__":
    main()
