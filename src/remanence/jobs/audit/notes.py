"""What a reader of the verdict should also know: what was left out, cut off, asked twice, and really tried."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.jobs.audit.findings import Found
from remanence.jobs.audit.settings import AuditSettings

TOP = 3
"""Reasons named in a note; all of them stand in `verdict.json`."""
_COUNT = re.compile(r" for \d+ of \d+ tokens$")


def notes(
    run: Run, keep_H: NDArray[np.bool_] | None, found: dict[tuple[str, str], Found], settings: AuditSettings
) -> list[str]:
    """Sentences for `verdict.json`, from the tables of the run."""
    lengths = ", ".join(map(str, settings.prefixes))
    said = [
        f"A row comes back when greedy decoding says its next {settings.new_tokens} tokens, all right, "
        f"at one of the prefix lengths {lengths}."
    ]
    if missing := not_measured(found):
        out, distinct = sum(missing.values()), len(found["tuned", "train"].places)
        why = "; ".join(f"{reason} ({count:,})" for reason, count in list(missing.items())[:TOP])
        more = "; ..." if len(missing) > TOP else ""
        said.append(
            f"{out:,} of {distinct:,} distinct training rows could not be measured and are in no denominator: "
            f"{why}{more}."
        )
    if keep_H is not None and not keep_H.all():
        said.append(
            f"{int((~keep_H).sum()):,} held-out rows stand in the training data, exactly or nearly, "
            "and were left out of the floor."
        )
    return said + _cut(run) + _repeated(run, found) + _tried(run)


def not_measured(found: dict[tuple[str, str], Found]) -> dict[str, int]:
    """Why distinct training rows could not be measured, most frequent first; rows that differ in a count are alike."""
    judged = found["tuned", "train"].by_measure["discoverable"]
    reasons = Counter(_COUNT.sub("", f.reason) for f in judged if f.reason is not None)
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _cut(run: Run) -> list[str]:
    columns = ["group", "same_as", "num_truncated", "num_supervised_truncated"]
    rows = run.read_table("rows").select(columns).to_pylist()
    cut = [r for r in rows if r["group"] == "train" and r["same_as"] is None and r["num_truncated"]]
    if not cut:
        return []
    lost = sum(r["num_supervised_truncated"] for r in cut)
    return [
        f"{len(cut):,} distinct training rows were longer than training read: {lost:,} of their tokens "
        "would have carried loss and were never trained on."
    ]


def _repeated(run: Run, found: dict[tuple[str, str], Found]) -> list[str]:
    said: Counter[Any] = Counter()
    for role, group in found:
        if role != "ceiling":
            for shard in run.shards(f"tokens/{role}-{group}"):
                said.update(shard.column("recheck").to_pylist())
    again = said["agrees"] + said["overturned"]
    if not again:
        return []
    return [
        f"{again:,} rows hung on rounding and were read again in float32 at batch size 1; "
        f"{said['overturned']:,} of them differ, and the second reading counts."
    ]


def _tried(run: Run) -> list[str]:
    columns = ["target", "exact", "why"]
    tried = [a for a in run.read_table("attempts").select(columns).to_pylist() if a["target"] == "tuned"]
    if not tried:
        return []
    agree = sum(a["exact"] == (a["why"] == "table") for a in tried)
    said = f"Really asked, the model said what the token table foretells for {agree:,} of {len(tried):,} prompts"
    if agree < len(tried):
        said += "; the table reads the weights alone, and knows no guard at decoding and no early end of text"
    return [f"{said}."]
