"""What each of two processes runs in `test_two_processes.py`: a real Trainer on gloo, its weights copied or cut up.

    torchrun --nproc_per_node 2 two_processes.py OUT ddp|sharded

accelerate wraps a model in FSDP on accelerators only, so "sharded" cuts the weights up with torch's own `fully_shard`
and hides the launcher from the Trainer, which then trains what it is given.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import small_trainers as small
import torch.distributed as dist
from test_callback import SHORT, hf

from remanence import AuditCallback


def main(out: Path, how: str) -> None:
    """Trains, and writes what this process saw into `OUT/rank-N.json`."""
    number, more, net = int(os.environ["RANK"]), {}, None
    settings: dict[str, Any] = {**SHORT, "show": True, "heldout": small.UNSEEN}
    if how == "ddp":
        settings |= {"stop_if": "rate>=0.5", "keep_best": 0.45, "load_best": True}
        more = {"ddp_backend": "gloo", "per_device_train_batch_size": 1}
    else:
        net = cut_up()
        more = {"max_grad_norm": 0.0}
    callback = AuditCallback(**settings)
    trainer = hf(out, [callback], net=net, num_train_epochs=12, learning_rate=1e-2, **more)
    trainer.train()
    seen = {
        "curve": [{k: v for k, v in asdict(look).items() if k != "seconds"} for look in callback.curve],
        "step": trainer.state.global_step,
        "why": callback.why,
        "best": None if callback.best is None else callback.best.step,
        "logged": [line["audit_loss"] for line in trainer.state.log_history if "audit_loss" in line],
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "weights": float(sum(p.detach().double().abs().sum() for p in trainer.model.parameters())) if not net else 0.0,
        "world": dist.get_world_size(),
    }
    (out / f"rank-{number}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def cut_up() -> Any:
    """A tiny model of whose weights each process holds a half."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo")
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        os.environ.pop(name, None)
    net, _ = small.model()
    fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
    return net


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
