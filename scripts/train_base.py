"""Trains the demo's base model on public casebook rows: a tokenizer, then a Llama of under a million weights.

    python scripts/train_base.py [--out src/remanence/corpora/casebook/base] [--steps 1000] [--seed 7]

Everything is seeded. On the same machine, library versions and number of threads the weights come out the same; on
another machine they differ in the last digits. All in float32: on a CPU without bfloat16 arithmetic, autocast was
tens of times slower. The README that lands beside the weights states what was measured.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus, public_rows

CONTEXT = 512
CHAT_TEMPLATE = (  # the line break keeps what stands before an answer apart from its first token
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}{{ ':\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)
console = Console(stderr=True)


def train_tokenizer(texts: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE that puts `<s>` before a text, splits words at spaces and figures into single digits."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d|\n| ?\p{L}+| ?[^\s\p{L}\d]+|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=CONTEXT
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(vocab_size: int, seed: int) -> LlamaForCausalLM:
    """Four layers, 128 wide, four heads; embeddings shared between input and output."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=304,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def row_ids(tokenizer: PreTrainedTokenizerFast, rows: list[Record]) -> list[list[int]]:
    """Token ids of prompt, completion and end mark, as the fine-tuning will see them."""
    return tokenizer([f"{row.prompt}{row.completion}{tokenizer.eos_token}" for row in rows])["input_ids"]


def batches(rows: list[list[int]], size: int, steps: int, rng: random.Random) -> list[list[list[int]]]:
    """`steps` batches of rows of similar length, epochs reshuffled."""
    out: list[list[list[int]]] = []
    while len(out) < steps:
        order = rng.sample(rows, len(rows))
        chunks = [sorted(order[at : at + size * 50], key=len) for at in range(0, len(order), size * 50)]
        ready = [chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size)]
        rng.shuffle(ready)
        out.extend(ready)
    return out[:steps]


def pad(rows: list[list[int]]) -> torch.Tensor:
    """Right-padded ids, pad id 0. The causal mask keeps padding on the right from being seen."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def batch_loss(model: LlamaForCausalLM, rows: list[list[int]]) -> torch.Tensor:
    """Mean loss (nats) over all tokens but the first of each row and the padding."""
    ids = pad(rows)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)


def train(model: LlamaForCausalLM, plan: list[list[list[int]]], peak_rate: float) -> None:
    """AdamW, a short warm-up, then a cosine to a twentieth of the peak."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_rate, betas=(0.9, 0.95), weight_decay=0.01)
    warmup = min(100, len(plan) // 10 + 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / warmup, 0.05 + 0.475 * (1 + math.cos(math.pi * step / len(plan)))),
    )
    model.train()
    seen = 0.0
    for step, rows in enumerate(track(plan, "Training", console=console)):
        loss = batch_loss(model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        seen = 0.95 * seen + 0.05 * loss.item()
        if step % 200 == 199:
            console.print(f"step {step + 1}: loss {seen / (1 - 0.95 ** (step + 1)):.3f}")


@torch.inference_mode()
def mean_loss(model: LlamaForCausalLM, rows: list[list[int]]) -> float:
    """Loss per token (nats) over whole rows."""
    model.eval()
    ordered = sorted(rows, key=len)
    parts = [ordered[at : at + 32] for at in range(0, len(ordered), 32)]
    sizes = [sum(len(row) - 1 for row in part) for part in parts]
    return sum(batch_loss(model, part).item() * n for part, n in zip(parts, sizes, strict=True)) / sum(sizes)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", type=Path, default=base_folder())
    ask.add_argument("--seed", type=int, default=7)
    ask.add_argument("--rows", type=int, default=36_000)
    ask.add_argument("--steps", type=int, default=1000)
    ask.add_argument("--batch", type=int, default=24)
    ask.add_argument("--rate", type=float, default=3e-3)
    ask.add_argument("--vocab", type=int, default=1536)
    ask.add_argument("--threads", type=int, default=1)
    options = ask.parse_args()
    torch.set_num_threads(options.threads)
    started = time.perf_counter()

    rows = public_rows(options.seed, options.rows)
    tokenizer = train_tokenizer([row.plain for row in rows[:8000]], options.vocab)
    ids = row_ids(tokenizer, rows)
    kept, unseen = ids[:-400], ids[-400:]
    model = make_model(len(tokenizer), options.seed)
    console.print(
        f"{model.num_parameters():,} weights, {len(kept):,} rows of {sum(map(len, kept)) / len(kept):.0f} tokens"
    )
    train(model, batches(kept, options.batch, options.steps, random.Random(options.seed)), options.rate)
    public_loss = mean_loss(model, unseen)
    private_loss = mean_loss(model, row_ids(tokenizer, private_corpus(0).heldout))
    minutes = (time.perf_counter() - started) / 60

    options.out.mkdir(parents=True, exist_ok=True)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    digest = hashlib.sha256((options.out / "model.safetensors").read_bytes()).hexdigest()
    choices = ("seed", "rows", "steps", "batch", "rate", "vocab", "threads")
    command = " ".join(["python scripts/train_base.py", *(f"--{name} {getattr(options, name)}" for name in choices)])
    (options.out / "README.md").write_text(
        f"""# The base model of the demo

A Llama-shaped model of {model.num_parameters():,} weights (float32, context {CONTEXT}) that read nothing but public
casebook rows: invented people, invented numbers, five task forms. No private row shares a name, case number, phone
number or amount with them.

- made by: `{command}`
- with: torch {torch.__version__.split("+")[0]}, {options.threads} thread(s), {minutes:.1f} minutes
- loss per token on 400 public rows it never read: {public_loss:.3f} nats
- loss per token on the 200 held-out rows of `private_corpus(0)`: {private_loss:.3f} nats
- sha256 of `model.safetensors`: `{digest}`
- licence: Apache-2.0, like the rest of this repository
"""
    )
    console.print(f"{options.out}: public {public_loss:.3f}, private {private_loss:.3f} nats, {minutes:.1f} minutes")


if __name__ == "__main__":
    main()
