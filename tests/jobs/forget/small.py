"""A forgetting of seconds: eight rows known by heart, three of them to go. As a script: to be killed from outside.

Usage: small.py MODEL BASE OUT never|PLACE [resume]; PLACE = a file of the run after which the process kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from memorizers import LEARNED, NAMES, rows

import remanence
from remanence.core.run import Run

HELDOUT = [*rows(11, "unseen"), *rows(23, "other")]
TASTE: dict[str, Any] = {
    "steps": 20, "check_every": 5, "prefixes": (0, 4), "new_tokens": 8, "relearn_steps": 4, "generate_rows": 4,
    "exposure_rows": 3, "untouched_rows": 5, "max_loss_increase": 0.6, "batch_size": 4,
}  # fmt: skip
GONE = ["learned-0", "learned-1", "learned-2"]


def forget(model: Path, base: Path | None, out: Path, **more: Any) -> Any:
    settings = TASTE | {"methods": ("gradient_difference", "task_vector"), "learning_rates": (1e-3,)} | more
    return remanence.forget(
        model, list(LEARNED), forget=GONE, heldout=HELDOUT, base=base, out=out, show_progress=False, **settings
    )


def main(model: str, base: str, out: str, when: str, resume: bool) -> None:
    import torch

    torch.set_num_threads(1)
    if when != "never":
        write = Run.write_table

        def dying(self: Run, name: str, table: Any) -> None:
            write(self, name, table)
            if name == when:
                os.kill(os.getpid(), signal.SIGKILL)

        Run.write_table = dying
    forget(Path(model), Path(base), Path(out), resume=resume)


if __name__ == "__main__":
    assert NAMES
    main(*sys.argv[1:5], resume="resume" in sys.argv[5:])
