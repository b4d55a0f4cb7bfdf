"""Several processes that train one model: who is who, sums over all of them, and weights that are not whole anywhere.

A look's rows are shared out over the processes and its figures summed, so every process sees the same figures and
comes to the same decision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray


def rank() -> int:
    """Number of this process; 0 where there is only one."""
    return dist.get_rank() if _many() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _many() else 1


def summed(values: NDArray[np.float64], device: torch.device) -> NDArray[np.float64]:
    """The sum of every process's array, on every process; each must call this with the same shape."""
    if not _many():
        return values
    total = torch.from_numpy(values.copy()).to(device)
    dist.all_reduce(total)
    return total.cpu().numpy()


def of_first(value: Any) -> Any:
    """Process 0's value, on every process: what it read from its disk, say."""
    if not _many():
        return value
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]


@torch.no_grad()
def share_weights(model: Any) -> None:
    """Give every process the weights of process 0."""
    if _many():
        for weight in [*model.parameters(), *model.buffers()]:
            dist.broadcast(weight.data, 0)


def sharded(model: Any) -> str | None:
    """How the weights of a model are spread over processes, in words; None where each process has all of them.

    DDP and `DataParallel` copy weights; FSDP, ZeRO-3 and tensor parallelism cut them up.
    """
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        return "FSDP"
    if any(isinstance(weight, DTensor) for weight in model.parameters()):
        return "FSDP or tensor parallelism"
    if any(hasattr(weight, "ds_id") for weight in model.parameters()):
        return "DeepSpeed ZeRO-3"
    return None


def _many() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
