"""Which rows of a task are trained on, and how often; which are measured; which are never seen: drawn beforehand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.jobs.study.settings import StudySettings
from remanence.text.duplicates import contamination
from remanence.text.spans import normalise

SPARE = 1.3
"""So many times the rows needed unseen are looked through for such as stand, nearly, among the training rows."""


@dataclass(frozen=True)
class Split:
    """The rows of one task and seed. Every row has `meta["copies"]`: how often it is trained on, 0 = never."""

    train: list[Record]
    """Different training rows; those that are measured come first."""
    num_members: int
    heldout: list[Record]
    calibration: list[Record]
    num_leaking: int
    """Unseen rows that were left out because they stand, nearly, among the training rows."""

    @property
    def members(self) -> list[Record]:
        """The training rows that are measured."""
        return self.train[: self.num_members]

    def rows_in_order(self, seed: int) -> list[Record]:
        """The training rows with their copies, each a row of its own, shuffled."""
        rows = [replace(r, id=f"{r.id}#{c}") for r in self.train for c in range(int(r.meta["copies"]))]
        random.Random(seed).shuffle(rows)
        return rows

    @property
    def fingerprint(self) -> str:
        """Of all rows and their parts."""
        return data_fingerprint([*self.train, *self.heldout, *self.calibration])


def split_rows(task: str, records: Sequence[Record], settings: StudySettings, seed: int) -> Split:
    """Draw the parts at random. Raises `RemanenceError` when the task has too few different rows."""
    rng = random.Random(f"{task}/{seed}")
    seen: set[str] = set()
    distinct = [r for r in records if (key := normalise(r.plain)) not in seen and not seen.add(key)]
    rng.shuffle(distinct)
    trained, rest = distinct[: settings.different], distinct[settings.different :]
    wanted = settings.heldout + settings.calibration
    unseen = rest[: int(SPARE * wanted) + 10]
    leaks = np.asarray(contamination([r.plain for r in trained], [r.plain for r in unseen]), bool)
    clean = [r for r, leak in zip(unseen, leaks.tolist(), strict=True) if not leak]
    if len(trained) < settings.different or len(clean) < settings.heldout:
        raise RemanenceError(
            f"Task {task} has {len(distinct)} different rows; this study needs {settings.different} to train on and "
            f"{settings.heldout} unseen ones that stand nowhere among them: lower --rows or --heldout."
        )
    copies = [c for c, count in settings.repeated for _ in range(count)]
    counts = copies + [1] * (settings.different - len(copies))
    train = [_counted(r, c, "train") for r, c in zip(trained, counts, strict=True)]
    repeated, single = train[: len(copies)], train[len(copies) :]
    chosen = (repeated + single)[: settings.members]
    heldout = [replace(_counted(r, 0, "heldout"), group="heldout") for r in clean[: settings.heldout]]
    spare = [replace(_counted(r, 0, "calibration"), group="heldout") for r in clean[settings.heldout : wanted]]
    return Split(chosen + train[settings.members :], len(chosen), heldout, spare, int(leaks.sum()))


def _counted(record: Record, copies: int, part: str) -> Record:
    return replace(record, meta={**record.meta, "copies": copies, "part": part})


def write_split(run: Run, name: str, split: Split) -> None:
    """`data/NAME.parquet`: every row with its part and copies, in the order of the split."""
    import pyarrow as pa

    rows = [*split.train, *split.heldout, *split.calibration]
    members = {r.id for r in split.members}
    table = pa.table(
        {
            "id": [r.id for r in rows],
            "part": ["member" if r.id in members else r.meta["part"] for r in rows],
            "copies": pa.array([r.meta["copies"] for r in rows], pa.int32()),
            "prompt": [whole(r.prompt) for r in rows],
            "completion": [whole(r.completion) for r in rows],
        }
    )
    run.write_table(f"data/{name}", table)
    run.write_json(f"data/{name}.json", {"leaking": split.num_leaking, "fingerprint": split.fingerprint})


def read_split(run: Run, name: str) -> Split:
    """The split of a study's folder."""
    parts: dict[str, list[Record]] = {"member": [], "train": [], "heldout": [], "calibration": []}
    for line in run.lines(f"data/{name}"):
        meta = {"copies": line["copies"], "part": line["part"]}
        group = "train" if line["part"] in {"member", "train"} else "heldout"
        parts[line["part"]].append(
            Record(line["id"], prompt=line["prompt"], completion=line["completion"], group=group, meta=meta)
        )
    train = parts["member"] + parts["train"]
    leaking = run.read_json(f"data/{name}.json")["leaking"]
    return Split(train, len(parts["member"]), parts["heldout"], parts["calibration"], leaking)


def whole(text: str | None) -> str:
    """What Parquet takes: half characters become question marks."""
    return (text or "").encode("utf-8", "replace").decode()
