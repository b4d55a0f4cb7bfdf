"""The outcome of every training row of an audit, streamed or not: whether it is extracted, at which prefix length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from remanence.core.run import Run
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.summaries import block_summaries


class Outcome(NamedTuple):
    """One measured training row."""

    id: str
    comes_back: bool
    shortest_prefix: int | None
    """Smallest prefix length of the grid at which it does."""


def outcomes(run: Run) -> Iterator[Outcome]:
    """Every measured row: of a streamed audit in the order of the data, from its blocks; else worst first."""
    spec = run.spec
    if "stream" not in spec:
        for line in run.lines("ranking"):
            yield Outcome(line["id"], bool(line["comes_back"]), line["shortest_prefix"])
        return
    prefixes = AuditSettings.of_spec(spec["settings"]).prefixes
    for block in block_summaries(run, "train"):
        cuts, hits = block.counts("tuned.cuts").tolist(), block.counts("tuned.hits").tolist()
        for name, cut, hit in zip(block.words("id"), cuts, hits, strict=True):
            if cut:
                first = (hit & -hit).bit_length() - 1  # the lowest bit
                yield Outcome(name, bool(hit), prefixes[first] if hit else None)
