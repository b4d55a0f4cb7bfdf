"""A script for `test_resume.py`: audits that kill themselves at chosen places, and are then taken up again.

Each audit runs in a forked process of its own that gets SIGKILL when it reaches the place, so nothing can be tidied up.
Usage: killed_audit.py MODEL BASE WORK PLACE...   where PLACE is FILE:begun (written, not yet in place) or FILE:done
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from memorizers import LEARNED, UNSEEN

from remanence.core.run import Run
from remanence.engine.opening import open_targets
from remanence.jobs.audit import attempts
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings

SETTINGS = AuditSettings(prefixes=(0, 4), new_tokens=8, shard_rows=3, schemes=("T=1",), generate_rows=4, by=("half",))
attempts.BATCH = 2


def main(model: str, base: str, work: Path, places: list[str]) -> None:
    torch.set_num_threads(1)
    tuned, below = open_targets(model, base, SETTINGS)

    def audit(folder: Path, resume: bool = False) -> None:
        train = [*LEARNED[:5], LEARNED[0], *UNSEEN[:2]]
        train = [replace(r, id=f"row-{i}", meta={"half": i // 4}) for i, r in enumerate(train)]
        held = [replace(r, meta={"half": i % 2}) for i, r in enumerate(UNSEEN[2:])]
        run_audit(tuned, train, held, below, folder, SETTINGS, fail_if="excess>0.01", resume=resume, show=False)

    audit(work / "whole")  # in this process, so that the forked ones find everything loaded
    for number, place in enumerate(places):
        name, _, when = place.rpartition(":")
        folder = work / f"killed-{number}"

        def killed(folder: Path = folder, name: str = name, when: str = when) -> None:
            kill_at(name, when)
            audit(folder)

        status = forked(killed)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"{place} was never reached"
        assert (folder / name).exists() is (when == "done"), place
        assert forked(lambda folder=folder: audit(folder, resume=True)) == 0, place


def forked(job: Callable[[], None]) -> int:
    """Run the job in a child process and return its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        job()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def kill_at(name: str, when: str) -> None:
    """Have this process killed when it writes the file."""
    place = Run._place

    @contextlib.contextmanager
    def deadly(self: Run, written: str) -> Iterator[Path]:
        with place(self, written) as part:
            yield part
            if (written, when) == (name, "begun"):
                os.kill(os.getpid(), signal.SIGKILL)
        if written == name:
            os.kill(os.getpid(), signal.SIGKILL)

    Run._place = deadly  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
