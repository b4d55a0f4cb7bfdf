"""Train a small encoder-decoder on plain English of the shared folder, with the tokens of stories260K; for tests only.

    python tests/real/plain_english.py OUT [--minutes 10] [--steps N]

Four passages of five are prefix language modelling (source: the start of a passage, target: how it goes on), the
fifth is span filling (source: a passage with a gap marked <0x01>, target: what stood there). Source and target end in
`</s>`; a passage that was cut off has no `</s>` in its target, so the mark means "here the text ends".
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parent))
from stories260k import convert
from train_seq2seq_base import Pair, batches, console, make_model, mean_loss, save, seq2seq_tokenizer, train

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
LIMIT = 256
"""Longest source and longest target, in tokens."""
PASSAGES = {"tinystories_2m": 2_000, "us_presidential_speeches": 1_500, "brown": 6_500, "classic_books": 14_000}
"""How many training passages are read of each folder; the shortest ones, under 100 characters, are left out."""
HELDOUT = {**dict.fromkeys(PASSAGES, 100), "wikitext2_valid_test": 200}


def passages(name: str, split: str, count: int, shared: Path = SHARED) -> list[str]:
    """`count` passages of a folder's split, drawn with a fixed seed."""
    with gzip.open(shared / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    texts = [text for text in texts if len(text) >= 100]
    return random.Random(0).sample(texts, min(count, len(texts)))


def prefix_pair(ids: list[int], rng: random.Random) -> Pair:
    """A window of the passage cut in two, one time in five a long one. `ids` end in `</s>`."""
    *text, end = ids
    start = rng.choice([0, rng.randrange(max(1, len(text) - 40))])
    window = text[start : start + (LIMIT + 64 if rng.random() < 0.2 else rng.randint(40, 200))]
    cut = rng.randint(min(6, len(window) // 2), min(LIMIT - 1, len(window) * 3 // 5))
    ended = [end] if start + len(window) == len(text) else []
    return Pair([*window[:cut], end], [*window[cut:], *ended][:LIMIT])


def filling_pair(ids: list[int], gap: int, rng: random.Random) -> Pair:
    """A window of up to 120 tokens with a gap of 5 to 40; the target is what stood there."""
    *text, end = ids
    start = rng.randrange(max(1, len(text) - 60))
    window = text[start : start + 120]
    size = min(rng.randint(5, 40), len(window) // 2)
    at = rng.randrange(len(window) - size)
    return Pair([*window[:at], gap, *window[at + size :], end], [*window[at : at + size], end])


def unigram_loss(train_pairs: list[Pair], pairs: list[Pair]) -> float:
    """Nats per target token of a model that knows nothing but how often each token occurs in training."""
    seen = Counter(token for pair in train_pairs for token in pair.target)
    total = seen.total() + 512
    tokens = [token for pair in pairs for token in pair.target]
    return -sum(math.log((seen[token] + 1) / total) for token in tokens) / len(tokens)


def plan_of(texts: list[list[int]], gap: int, steps: int, size: int, rng: random.Random) -> list[list[Pair]]:
    """`steps` batches; every epoch cuts each passage anew."""
    plan: list[list[Pair]] = []
    while len(plan) < steps:
        pairs = [filling_pair(t, gap, rng) if rng.random() < 0.2 else prefix_pair(t, rng) for t in texts]
        plan += batches(pairs, size, rng)
    return plan[:steps]


def seconds_per_step(tokenizer: Any, plan: list[list[Pair]]) -> float:
    """Processor seconds, measured on a model that is thrown away; the first steps are not counted."""
    trial = make_model(tokenizer, 0, **SHAPE)
    train(trial, plan[:5], 1e-3)
    began = time.process_time()
    train(trial, plan[5:], 1e-3)
    return (time.process_time() - began) / (len(plan) - 5)


SHAPE = {"width": 128, "inner": 192, "layers": 2}


def main() -> None:
    """Train, measure before and after, save, say how a text goes on."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("out", type=Path)
    ask.add_argument("--minutes", type=float, default=10)
    ask.add_argument("--steps", type=int, help="in place of --minutes: repeats a run exactly")
    ask.add_argument("--batch", type=int, default=8)
    ask.add_argument("--rate", type=float, default=3e-3)
    ask.add_argument("--seed", type=int, default=0)
    asked = ask.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = seq2seq_tokenizer(convert(SHARED / "stories260k_model", Path(folder)))
    gap = tokenizer.convert_tokens_to_ids("<0x01>")
    texts = [t for name, count in PASSAGES.items() for t in passages(name, "train", count)]
    ids = tokenizer(texts, verbose=False)["input_ids"]
    heldout = {
        name: [prefix_pair(row, rng) for row in tokenizer(passages(name, "test", count), verbose=False)["input_ids"]]
        for name, count in HELDOUT.items()
    }
    trial = plan_of(ids[::10], gap, 45, asked.batch, random.Random(1))
    steps = asked.steps or int(asked.minutes * 60 / seconds_per_step(tokenizer, trial))
    plan = plan_of(ids, gap, steps, asked.batch, rng)
    model = make_model(tokenizer, asked.seed, **SHAPE)
    console.print(f"{model.num_parameters():,} weights, {len(texts):,} passages, {steps:,} steps of {asked.batch}")
    before = {name: mean_loss(model, pairs) for name, pairs in heldout.items()}
    began = time.process_time()
    train(model, plan, asked.rate)
    minutes = (time.process_time() - began) / 60
    digest = save(model, tokenizer, asked.out)
    told = [
        f"{model.num_parameters():,} weights, {steps} steps of {asked.batch} passages, {minutes:.1f} processor minutes"
    ]
    told += [f"{sum(len(p.target) for b in plan for p in b):,} target tokens; sha256 {digest}"]
    flat = [pair for batch in plan[:200] for pair in batch]
    for name, pairs in heldout.items():
        told.append(
            f"{name}: {sum(len(p.target) for p in pairs):,} held-out target tokens, nats per token before "
            f"{before[name]:.3f}, after {mean_loss(model, pairs):.3f}, by token counts {unigram_loss(flat, pairs):.3f}"
        )
    for start in ("Once upon a time, there was a little girl named", "The President of the United States"):
        inputs = tokenizer(start, return_tensors="pt")
        said = model.generate(**inputs, max_new_tokens=60, do_sample=False)
        told.append(f"{start} ... {tokenizer.decode(said[0], skip_special_tokens=True)}")
    (asked.out / "README.md").write_text(
        "# Plain English, encoder-decoder\n\n" + "\n".join(f"- {t}" for t in told) + "\n"
    )
    print(*told, sep="\n")


if __name__ == "__main__":
    main()
