"""Training in several processes: ranks, sums over all processes, and models whose weights are sharded.

The rows of a snapshot are divided among the processes and its figures are summed, so all processes see the same figures
and take the same decision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray


def rank() -> int:
    """Rank of this process; 0 where there is only one."""
    return dist.get_rank() if _is_distributed() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if _is_distributed() else 1


def sum_over_processes(values: NDArray[np.float64], device: torch.device) -> NDArray[np.float64]:
    """The sum of every process's array, on every process; each must call this with the same shape."""
    if not _is_distributed():
        return values
    total = torch.from_numpy(values.copy()).to(device)
    dist.all_reduce(total)
    return total.cpu().numpy()


def from_first_process(value: Any) -> Any:
    """The value of process 0, on every process, such as what it read from its disk."""
    if not _is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, 0)
    return box[0]


@torch.no_grad()
def broadcast_weights(model: Any) -> None:
    """Copy the weights of process 0 to every process."""
    if _is_distributed():
        for weight in [*model.parameters(), *model.buffers()]:
            dist.broadcast(weight.data, 0)


def sharding(model: Any) -> str | None:
    """How the weights of a model are sharded over processes, in words; None where each process has all of them.

    DDP and `DataParallel` replicate weights; FSDP, ZeRO-3 and tensor parallelism shard them.
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


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
