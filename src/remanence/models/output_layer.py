"""Output layer and token table in one step: logits are computed in cache-sized chunks and not stored.

One product with the whole vocabulary runs at little more than half of a CPU's speed. Here each core takes 128
positions at a time and 512 words of the vocabulary per product, without waiting for the others, and reduces what it
just wrote (GPT-2's layer: 47 GFLOP/s per core in one product, 74 in stretches).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from remanence.models.reduce import Columns, joined, threads
from remanence.models.reduce_cpu import columns_of

POSITIONS, WORDS = 128, 512


def is_plain(head: nn.Module) -> bool:
    """Whether the layer is one float32 product on a CPU: no adapter, hook, quantised weight or autocast."""
    return (
        type(head) is nn.Linear
        and head.weight.device.type == "cpu"
        and head.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not head._forward_hooks  # pyright: ignore[reportPrivateUsage]
        and not head._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]
        and "forward" not in head.__dict__
    )


def reduce_hidden(hidden_ND: Tensor, head: Any, target_N: Tensor, columns: list[str]) -> Columns:
    """`reduce_logits(head(hidden_ND), ...)` for a plain layer; as many threads as torch has."""
    count = torch.get_num_threads()
    size = min(POSITIONS, -(-len(target_N) // count))
    pieces = [slice(at, at + size) for at in range(0, len(target_N), size)]
    y = target_N.numpy().astype(np.int64)

    def work(first: int) -> list[Any]:
        if count > 1:
            torch.set_num_threads(1)  # of this worker
        logits = torch.empty(size, head.weight.shape[0])
        with torch.inference_mode():
            return [
                columns_of(_apply(head, hidden_ND[piece], logits), y[piece], columns) for piece in pieces[first::count]
            ]

    if count == 1:
        return joined(work(0), columns)
    done = list(threads(count).map(work, range(count)))
    torch.set_num_threads(count)  # what threads that are yet to be made will take over
    return joined([done[i % count][i // count] for i in range(len(pieces))], columns)


def _apply(head: Any, hidden_ND: Tensor, buffer: Tensor) -> Any:
    """The logits [N, V] as an array that lives in the buffer."""
    logits = buffer[: len(hidden_ND)]
    for at in range(0, buffer.shape[1], WORDS):
        torch.mm(hidden_ND, head.weight[at : at + WORDS].t(), out=logits[:, at : at + WORDS])
    if head.bias is not None:
        logits += head.bias
    return logits.numpy()
