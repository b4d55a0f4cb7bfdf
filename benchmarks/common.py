"""What the benchmarks share: models with random weights, rows of random ids, and timing side by side.

Both sides of a comparison run in turns (A, B, A, B, ...) in one process, so that a busy machine slows both; the figure
is the median of the ratios of neighbours. CPU time of the process is the second figure: it hardly sees other programs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from remanence.core.table import Rendered
from remanence.models.huggingface import HuggingFace

THREADS = 2


class Tokenizer:
    """Spells ids as numbers; the benchmarks start from ids."""

    pad_token_id, eos_token_id = 0, 50256

    def decode(self, ids: list[int], **_: Any) -> str:
        return " ".join(map(str, ids))


def gpt2(nats: float | None = None, **config: Any) -> GPT2LMHeadModel:
    """A GPT-2 with random weights (default: the 124M shape); `nats` scales its logits to that mean entropy."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**config)).eval()
    if nats is not None:
        norm, low, high = model.transformer.ln_f.weight, 1.0, 64.0
        ids = random_ids(1, 32, seed=7)
        with torch.no_grad():
            for _ in range(12):
                norm.fill_((low * high) ** 0.5)
                flat = torch.distributions.Categorical(logits=model(ids).logits).entropy().mean() > nats
                low, high = ((low * high) ** 0.5, high) if flat else (low, (low * high) ** 0.5)
    return model


def random_ids(rows: int, width: int, seed: int = 1) -> torch.Tensor:
    """[rows, width] ids, none of them an end-of-text token."""
    return torch.randint(1, 50256, (rows, width), generator=torch.Generator().manual_seed(seed))


def rendered(ids: Any, prompt: int = 0) -> Rendered:
    """A row whose tokens carry loss, except the first `prompt`."""
    ids = np.asarray(ids, np.int32)
    return Rendered(ids, np.arange(ids.size) >= prompt)


def target(model: GPT2LMHeadModel) -> HuggingFace:
    """The model as remanence sees it, settings at their defaults."""
    return HuggingFace(model, Tokenizer(), None, "gpt2-shaped", "random")


def side_by_side(a: Callable[[], object], b: Callable[[], object], pairs: int) -> dict[str, Any]:
    """Median seconds of a and b, and the median ratio b / a over neighbouring runs, by the clock and by CPU time."""
    runs: list[tuple[float, float, float, float]] = []
    for warm_up in (True, *[False] * pairs):
        clock_a, cpu_a = timed(a)
        clock_b, cpu_b = timed(b)
        if not warm_up:
            runs.append((clock_a, clock_b, cpu_a, cpu_b))
    middle = [statistics.median(column) for column in zip(*runs, strict=True)]
    return {
        "seconds": middle[:2],
        "cpu_seconds": middle[2:],
        "ratio": statistics.median(b / a for a, b, _, _ in runs),
        "cpu_ratio": statistics.median(b / a for _, _, a, b in runs),
        "pairs": pairs,
    }


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of CPU in all threads of this process."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cpu
