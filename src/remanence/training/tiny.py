"""Tiny language models for testbeds: built from a configuration object and trained by one short loop.

Nothing is downloaded. The seeds are separate arguments: of the text (`MarkovText`), of the initial weights
(`tiny_gpt2`) and of the order of the rows (`shuffled`).

Shapes: B rows of a batch, T tokens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM


class Size(NamedTuple):
    """Shape of a tiny model."""

    width: int
    layers: int
    heads: int = 4


SIZES = {"small": Size(64, 2), "toy": Size(96, 3), "medium": Size(128, 2), "large": Size(256, 3)}
"""0.12M, 0.37M, 0.44M and 2.4M parameters at a vocabulary of 256."""

LEARNING_RATES = {"small": 3e-3, "toy": 2e-3, "medium": 2e-3, "large": 1e-3}
"""Constant learning rates of the testbeds, for pre-training and fine-tuning."""


def tiny_gpt2(size: str = "medium", vocab: int = 256, positions: int = 96, seed: int = 0) -> GPT2LMHeadModel:
    """A GPT-2 with random weights, no dropout, no end-of-text token. The same seed gives the same weights."""
    shape = _shape(size)
    config = GPT2Config(
        vocab_size=vocab,
        n_positions=positions,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def tiny_neox(size: str = "medium", vocab: int = 256, positions: int = 96, seed: int = 0) -> GPTNeoXForCausalLM:
    """A GPT-NeoX of the same shape: rotary positions, and output weights that are not tied to the input's."""
    shape = _shape(size)
    config = GPTNeoXConfig(
        vocab_size=vocab,
        max_position_embeddings=positions,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.width,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTNeoXForCausalLM(config)


def _shape(size: str) -> Size:
    if size not in SIZES:
        raise ValueError(f"no tiny model is called {size!r}; choose one of {', '.join(SIZES)}")
    return SIZES[size]


def shuffled(rows: NDArray[np.int64], batch: int, epochs: int = 1, seed: int = 0) -> Iterator[Tensor]:
    """Batches [B, T] of every row once per epoch, in a new order each epoch; the last batch may be short."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(rows), batch):
            yield torch.from_numpy(rows[order[start : start + batch]])


Prepare = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Turns a batch of ids [B, T] into (inputs, labels); labels are unshifted, -100 carries no loss."""


class Step(NamedTuple):
    """One step of training."""

    loss: float
    """Mean loss (nats) over the tokens that carry loss."""
    tokens: int
    """Number of tokens that carried loss."""


def train_lm(
    model: torch.nn.Module,
    batches: Iterable[Tensor],
    lr: float,
    warmup: int = 20,
    prepare: Prepare | None = None,
    bf16: bool = False,
) -> list[Step]:
    """Train in place with AdamW (0.9, 0.95), no decay, gradients clipped at 1, a constant rate after `warmup` steps.

    `prepare` changes inputs and labels: which tokens carry loss, and what the model reads. Without it every token is
    predicted from the tokens before it. `bf16` computes in bfloat16 and keeps the weights in float32.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / max(1, warmup)))
    device = next(model.parameters()).device
    history: list[Step] = []
    model.train()
    for batch in batches:
        ids = batch.to(device)
        inputs, labels = (ids, ids) if prepare is None else prepare(ids)
        with torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
            logits = model(input_ids=inputs).logits
        targets = labels[:, 1:]
        kept = int((targets != -100).sum())
        loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), targets.flatten(), reduction="sum") / max(kept, 1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        history.append(Step(float(loss.detach()), kept))
    model.eval()
    return history


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """One torch thread: tiny models are slower with two, and the figures should not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def token_nll(model: torch.nn.Module, ids: NDArray[np.int64], batch: int = 64) -> NDArray[np.float32]:
    """[N, T-1] negative log-probability (nats) of tokens 1..T-1 of every row, masked in training or not."""
    device = next(model.parameters()).device
    parts: list[Tensor] = []
    for start in range(0, len(ids), batch):
        rows = torch.from_numpy(ids[start : start + batch]).to(device)
        logits = model(input_ids=rows).logits[:, :-1].float()
        parts.append(F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none").cpu())
    return torch.cat(parts).numpy()
