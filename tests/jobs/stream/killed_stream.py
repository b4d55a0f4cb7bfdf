"""A script for `test_killed.py`: streamed audits that kill themselves at chosen places, and are then taken up again.

As `tests/jobs/killed_audit.py`. Usage: killed_stream.py WORK PLACE...   where PLACE is FILE:begun or FILE:done
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from killed_audit import forked, kill_at
from memorizers import LEARNED, UNSEEN

from remanence.core.read import Columns, FileRecords
from remanence.jobs.audit import attempts
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream import run_stream
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.models.parrot import Parrot

SETTINGS = AuditSettings(prefixes=(0, 4), new_tokens=8, shard_rows=3, schemes=("T=1",), generate_rows=4)
attempts.BATCH = 2


def main(work: Path, places: list[str]) -> None:
    rows = work / "rows.jsonl"
    kept = [*LEARNED[:5], LEARNED[0], *UNSEEN[:2]]
    lines = [f'{{"id": "{i}", "prompt": "{r.prompt}", "completion": "{r.completion}"}}\n' for i, r in enumerate(kept)]
    rows.write_text("".join(lines))
    parrot = Parrot(tuple(LEARNED[:4]))

    def audit(folder: Path, resume: bool = False) -> None:
        train = FileRecords(rows, Columns(), compared=False)
        held = [replace(r, group="heldout") for r in UNSEEN[2:]]
        for together in (0, 100):
            stream = StreamSettings(ranked_rows=5, in_memory_rows=together)
            run_stream(parrot, train, held, None, folder / str(together), SETTINGS, stream, resume=resume, show=False)

    audit(work / "whole")
    for number, place in enumerate(places):
        name, _, when = place.rpartition(":")
        folder = work / f"killed-{number}"

        def killed(folder: Path = folder, name: str = name, when: str = when) -> None:
            kill_at(name, when)
            audit(folder)

        status = forked(killed)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"{place} was never reached"
        assert (folder / "0" / name).exists() is (when == "done"), place
        assert forked(lambda folder=folder: audit(folder, resume=True)) == 0, place


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
