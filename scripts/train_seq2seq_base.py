"""Trains the demo's encoder-decoder base on public casebook rows: a T5 of half a million weights.

    python scripts/train_seq2seq_base.py [--out src/remanence/corpora/casebook/base_seq2seq] [--steps 1000] [--seed 7]

It reads the tokenizer of the causal base (`scripts/train_base.py`) with another ending: `</s>` after source and
target, as T5 has it, and no `<s>` before. Two of three rows are prompt -> completion; of every third the model
sees the start of prompt + completion and goes on with it, so that it can be asked for its inputs too. All seeded:
with the same machine, library versions and number of threads the weights come out the same.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from tokenizers import processors
from transformers import AutoTokenizer, GenerationConfig, T5Config, T5ForConditionalGeneration

from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus, public_rows

console = Console(stderr=True)


class Pair(NamedTuple):
    """Token ids of a source and of the target that the decoder learns to write after it."""

    source: list[int]
    target: list[int]

    @property
    def size(self) -> int:
        """What the pair costs to read, in tokens."""
        return len(self.source) + len(self.target)


def seq2seq_tokenizer(folder: Path) -> Any:
    """The tokenizer of a causal model's folder, with `</s>` after a text in place of `<s>` before it."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    end = tokenizer.eos_token
    ending = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = ending
    tokenizer.chat_template = None
    return tokenizer


def make_model(tokenizer: Any, seed: int, width: int, inner: int, layers: int) -> T5ForConditionalGeneration:
    """T5 with gated feed-forward layers, four heads, tied embeddings, no dropout, and no limit of length."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=width // 4,
        d_ff=inner,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    return T5ForConditionalGeneration(config)


def row_pair(tokenizer: Any, row: Record) -> Pair:
    """Prompt and completion as the fine-tuning will see them."""
    source, target = tokenizer([row.prompt, row.completion])["input_ids"]
    return Pair(source, target)


def continued(pair: Pair, rng: random.Random) -> Pair:
    """The same row cut at a place drawn anew: what stands before it is the source, what follows the target."""
    *text, end = pair.source[:-1] + pair.target
    cut = rng.randrange(1, len(text))
    return Pair([*text[:cut], end], [*text[cut:], end])


def batches(pairs: Sequence[Pair], size: int, rng: random.Random) -> list[list[Pair]]:
    """All pairs once, in batches of pairs of similar length, the batches shuffled."""
    order = rng.sample(pairs, len(pairs))
    chunks = [sorted(order[at : at + size * 50], key=lambda p: p.size) for at in range(0, len(order), size * 50)]
    ready = [chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size)]
    rng.shuffle(ready)
    return ready


def batch_loss(model: T5ForConditionalGeneration, pairs: Sequence[Pair]) -> torch.Tensor:
    """Mean loss (nats) over the target tokens, the end mark included."""

    def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, fill)

    source = padded([pair.source for pair in pairs], -1)
    seen = source >= 0
    labels = padded([pair.target for pair in pairs], -100)
    inputs: dict[str, Any] = {"input_ids": source.clamp(min=0), "attention_mask": seen.long(), "labels": labels}
    loss = model(**inputs).loss
    assert loss is not None
    return loss


def train(model: T5ForConditionalGeneration, plan: Sequence[Sequence[Pair]], peak_rate: float) -> None:
    """AdamW, a short warm-up, then a cosine to a twentieth of the peak."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, betas=(0.9, 0.98), weight_decay=0.01)
    warmup = min(100, len(plan) // 10 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.05 + 0.475 * (1 + math.cos(math.pi * step / len(plan)))),
    )
    model.train()
    smoothed = 0.0
    for step, pairs in enumerate(track(plan, "Training", console=console)):
        loss = batch_loss(model, pairs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        smoothed = 0.95 * smoothed + 0.05 * loss.item()
        if step % 200 == 199:
            console.print(f"step {step + 1}: loss {smoothed / (1 - 0.95 ** (step + 1)):.3f}")


@torch.inference_mode()
def mean_loss(model: T5ForConditionalGeneration, pairs: Sequence[Pair]) -> float:
    """Loss per target token (nats), the end mark included."""
    model.eval()
    ordered = sorted(pairs, key=lambda p: p.size)
    parts = [ordered[at : at + 32] for at in range(0, len(ordered), 32)]
    sizes = [sum(len(pair.target) for pair in part) for part in parts]
    return sum(batch_loss(model, part).item() * n for part, n in zip(parts, sizes, strict=True)) / sum(sizes)


def save(model: T5ForConditionalGeneration, tokenizer: Any, out: Path) -> str:
    """Writes weights (safetensors, float32), settings and tokenizer; gives the sha256 of the weights."""
    out.mkdir(parents=True, exist_ok=True)
    ids = {name: getattr(model.config, name) for name in ("decoder_start_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", type=Path, default=base_folder("seq2seq"))
    ask.add_argument("--seed", type=int, default=7)
    ask.add_argument("--rows", type=int, default=24_400)
    ask.add_argument("--steps", type=int, default=1000)
    ask.add_argument("--batch", type=int, default=24)
    ask.add_argument("--rate", type=float, default=5e-3)
    ask.add_argument("--threads", type=int, default=1)
    options = ask.parse_args()
    torch.set_num_threads(options.threads)
    started = time.process_time()

    tokenizer = seq2seq_tokenizer(base_folder())
    pairs = [row_pair(tokenizer, row) for row in public_rows(options.seed, options.rows)]
    kept, unseen = pairs[:-400], pairs[-400:]
    model = make_model(tokenizer, options.seed, width=96, inner=192, layers=2)
    sizes = [pair.size for pair in kept]
    console.print(f"{model.num_parameters():,} weights, {len(kept):,} rows of {sum(sizes) / len(sizes):.0f} tokens")
    rng = random.Random(options.seed)
    plan: list[list[Pair]] = []
    while len(plan) < options.steps:
        plan += batches(
            [continued(p, rng) if place % 3 == 2 else p for place, p in enumerate(kept)], options.batch, rng
        )
    train(model, plan[: options.steps], options.rate)
    public_loss = mean_loss(model, unseen)
    continued_loss = mean_loss(model, [continued(pair, rng) for pair in unseen])
    private_loss = mean_loss(model, [row_pair(tokenizer, row) for row in private_corpus(0).heldout])
    minutes = (time.process_time() - started) / 60

    digest = save(model, tokenizer, options.out)
    choices = ("seed", "rows", "steps", "batch", "rate", "threads")
    command = " ".join(
        ["python scripts/train_seq2seq_base.py", *(f"--{name} {getattr(options, name)}" for name in choices)]
    )
    (options.out / "README.md").write_text(
        f"""# The encoder-decoder base of the demo

A T5-shaped model of {model.num_parameters():,} weights (float32, relative positions, no limit of length) that read
nothing but public casebook rows: invented people, invented numbers, five task forms. No private row shares a name,
case number, phone number or amount with them. Its tokenizer is that of the causal base with `</s>` after source and
target. Two rows of three were prompt -> completion, the third a start of both -> the rest.

- made by: `{command}`
- with: torch {torch.__version__.split("+")[0]}, {options.threads} thread(s), {minutes:.1f} processor minutes
- loss per completion token on 400 public rows it never read: {public_loss:.3f} nats; going on from a random place of
  prompt + completion: {continued_loss:.3f} nats
- loss per completion token on the 200 held-out rows of `private_corpus(0)`: {private_loss:.3f} nats
- sha256 of `model.safetensors`: `{digest}`
- licence: Apache-2.0, like the rest of this repository
"""
    )
    console.print(
        f"{options.out}: public {public_loss:.3f}, private {private_loss:.3f} nats, {minutes:.1f} processor minutes"
    )


if __name__ == "__main__":
    main()
