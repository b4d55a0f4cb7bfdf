"""Train a Llama of 5 million weights from scratch on plain English of the shared folder; for tests only.

    python tests/real/plain_llama.py OUT [--minutes 10] [--steps N]

The tokenizer (byte-level BPE, 4,096 tokens) is trained on the same passages. Passages are joined end to end, each
behind `</s>`, and cut into windows of 192 tokens, every one of which is seen at most once.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parent))
from plain_english import HELDOUT, passages

PASSAGES = {"tinystories_2m": 2_000, "us_presidential_speeches": 1_600, "brown": 14_000, "classic_books": 23_900}
WINDOW = 192


def bpe(texts: list[str], vocab: int = 4_096) -> PreTrainedTokenizerFast:
    """A byte-level BPE of these texts; `<s>` is unused, `</s>` ends a text and pads."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab, special_tokens=["<pad>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def llama(vocab: int, seed: int = 0) -> LlamaForCausalLM:
    """5.3 million weights: width 256, 5 layers, 8 heads, tied embeddings, rows of up to 512 tokens."""
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=256, intermediate_size=768, num_hidden_layers=5, num_attention_heads=8,
        max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    return LlamaForCausalLM(config)


def windows(tokenizer: Any, texts: list[str], size: int = WINDOW) -> np.ndarray:
    """[N, size] the texts end to end; what does not fill a window is left out."""
    ids = [id for row in tokenizer(texts, add_special_tokens=False)["input_ids"] for id in [*row, 1]]
    return np.array(ids[: len(ids) // size * size], np.int64).reshape(-1, size)


def step(model: Any, rows: np.ndarray, optimizer: Any) -> None:
    """One step of AdamW, gradients clipped at 1."""
    ids = torch.from_numpy(rows)
    loss = model(input_ids=ids, labels=ids).loss
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@torch.no_grad()
def loss_of(model: Any, rows: np.ndarray) -> float:
    """Nats per token."""
    model.eval()
    parts = [float(model(input_ids=torch.from_numpy(r), labels=torch.from_numpy(r)).loss) for r in np.split(rows, 4)]
    model.train()
    return float(np.mean(parts))


def main() -> None:
    """Train, measure before and after, save, say how a text goes on."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("out", type=Path)
    ask.add_argument("--minutes", type=float, default=10)
    ask.add_argument("--steps", type=int, help="in place of --minutes: repeats a run exactly")
    ask.add_argument("--batch", type=int, default=16)
    ask.add_argument("--rate", type=float, default=2e-3)
    ask.add_argument("--threads", type=int, default=1)
    ask.add_argument("--seed", type=int, default=0)
    asked = ask.parse_args()
    torch.set_num_threads(asked.threads)
    texts = [t for name, count in PASSAGES.items() for t in passages(name, "train", count)]
    random.Random(asked.seed).shuffle(texts)
    tokenizer = bpe(texts)
    rows = windows(tokenizer, texts)
    heldout = {name: windows(tokenizer, passages(name, "test", count))[:32] for name, count in HELDOUT.items()}
    model = llama(len(tokenizer), asked.seed)
    steps = asked.steps
    if steps is None:
        trial = llama(len(tokenizer))
        optimizer = torch.optim.AdamW(trial.parameters(), lr=1e-3)
        step(trial, rows[: asked.batch], optimizer)
        began = time.perf_counter()
        for _ in range(5):
            step(trial, rows[: asked.batch], optimizer)
        steps = int(asked.minutes * 60 / ((time.perf_counter() - began) / 5))
    steps = min(steps, len(rows) // asked.batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=asked.rate, betas=(0.9, 0.95), weight_decay=0.0)
    cosine = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda at: min(1.0, (at + 1) / 50) * (0.05 + 0.475 * (1 + math.cos(math.pi * at / steps)))
    )
    print(f"{model.num_parameters():,} weights, {len(rows):,} windows, {steps:,} steps of {asked.batch}", flush=True)
    before = {name: loss_of(model, held) for name, held in heldout.items()}
    began = time.perf_counter()
    for at in range(steps):
        step(model, rows[at * asked.batch : (at + 1) * asked.batch], optimizer)
        cosine.step()
        if at % 100 == 0:
            print(at, f"{(time.perf_counter() - began) / 60:.1f} min", loss_of(model, heldout["brown"]), flush=True)
    model.eval()
    model.save_pretrained(asked.out)
    tokenizer.save_pretrained(asked.out)
    told = [f"{model.num_parameters():,} weights, {steps:,} steps of {asked.batch} windows of {WINDOW} tokens"]
    told += [
        f"{name}: nats per token before {before[name]:.3f}, after {loss_of(model, held):.3f}"
        for name, held in heldout.items()
    ]
    model.eval()
    for start in ("Once upon a time, there was a little girl named", "The President of the United States"):
        said = model.generate(**tokenizer(start, return_tensors="pt"), max_new_tokens=40, do_sample=False)
        told.append(tokenizer.decode(said[0], skip_special_tokens=True))
    (asked.out / "README.md").write_text("# Plain English, Llama\n\n" + "\n".join(f"- {t}" for t in told) + "\n")
    print(*told, sep="\n")


if __name__ == "__main__":
    main()
