"""A script for `test_match.py`: matches that kill themselves at chosen places, and are then taken up again.

Usage: killed_match.py WORK PLACE...   where PLACE is FILE:begun (written, not yet in place) or FILE:done
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import hand_made_corpus
from killed_audit import forked, kill_at

from remanence.core.record import Record
from remanence.jobs.match.match import run_match
from remanence.jobs.match.settings import MatchSettings

SETTINGS = MatchSettings(alpha=0.1, shard_rows=4)


def generated() -> list[Record]:
    """Fourteen texts: copies, mixtures, inventions, one without words."""
    rows = list(hand_made_corpus.ROWS.values())
    said = [*(row.completion or row.plain for row in rows), hand_made_corpus.COPIED, ""]
    said += [f"{rows[0].plain[:90]} {hand_made_corpus.nonsense(i, 12)}" for i in range(4)]
    return [
        Record(f"said-{i}", text=text, meta={"own": rows[i].id} if i < len(rows) else {}) for i, text in enumerate(said)
    ]


def main(work: Path, places: list[str]) -> None:
    train, heldout = hand_made_corpus.rows()
    heldout = heldout[-40:]

    def match(folder: Path, resume: bool = False) -> None:
        run_match(generated(), train, heldout, folder, SETTINGS, resume=resume, show=False)

    match(work / "whole")  # in this process, so that the forked ones find everything loaded
    for number, place in enumerate(places):
        name, _, when = place.rpartition(":")
        folder = work / f"killed-{number}"

        def killed(folder: Path = folder, name: str = name, when: str = when) -> None:
            kill_at(name, when)
            match(folder)

        status = forked(killed)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"{place} was never reached"
        assert (folder / name).exists() is (when == "done"), place
        assert forked(lambda folder=folder: match(folder, resume=True)) == 0, place


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
