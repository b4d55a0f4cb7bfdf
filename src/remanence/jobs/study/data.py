"""The rows of a study: its tasks, and which rows are trained on, how often, which are measured, and which are held out.

Tasks come from a Python file or from the fictional casebook that ships with the package. The file defines
`tasks = {"name": function}`; each function returns rows with `prompt` and `completion` (dicts or `Record`s). The part
of a name before a slash is the family of the task: `summarization/letters`. It may also define `arms(tasks, models)`, a
function that returns the arms, in place of the grid.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.read import data_fingerprint, records_from
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import Casebook
from remanence.corpora.casebook.tasks import TASKS
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.settings import StudySettings
from remanence.models.weights import model_folder, read_config, title_of
from remanence.text.duplicates import contamination
from remanence.text.spans import normalise

Rows: TypeAlias = Callable[[], Iterable[Any]]
Arms: TypeAlias = Callable[[Sequence[str], Sequence[str]], Iterable[Arm]]
CASEBOOK = "casebook"


@dataclass(frozen=True)
class TaskFile:
    """What a task file says."""

    name: str
    tasks: Mapping[str, Rows]
    arms: Arms | None = None


def read_tasks(source: str | Path) -> TaskFile:
    """The tasks of a Python file, or of `casebook`. The file is run: name only files that you would run yourself.

    Raises `RemanenceError` for a file that is not there, that fails, or that has no `tasks`.
    """
    if str(source) == CASEBOOK:
        return TaskFile(CASEBOOK, casebook_tasks())
    path = Path(source)
    if not path.is_file():
        raise RemanenceError(f"There is no task file {path}: name a Python file with `tasks`, or {CASEBOOK}.")
    spec = importlib.util.spec_from_file_location(f"remanence_tasks_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RemanenceError(f"{path.name} is no Python file: a task file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RemanenceError(f"{path.name} stops with {type(error).__name__}: {error}.") from error
    finally:
        sys.path.remove(str(path.parent))
    tasks = getattr(module, "tasks", None)
    if not isinstance(tasks, Mapping) or not tasks or not all(callable(rows) for rows in tasks.values()):
        raise RemanenceError(f'{path.name} needs `tasks = {{"name": function that gives rows}}`.')
    return TaskFile(path.stem, dict(tasks), getattr(module, "arms", None))


def casebook_tasks(num_rows: int = 3000, seed: int = 0) -> dict[str, Rows]:
    """The five tasks on invented cases; tasks share no case, so nothing is learned from one about another."""

    def rows(number: int, task: str) -> list[Record]:
        cases = Casebook(seed).cases(num_rows * len(TASKS))
        return Casebook(seed).records(task, cases[number :: len(TASKS)])

    return {task: partial(rows, number, task) for number, task in enumerate(TASKS)}


def casebook_models(source: str) -> dict[str, Path]:
    """The base models that ship with the casebook. Raises `RemanenceError` for any other tasks: name your own."""
    if source != CASEBOOK:
        raise RemanenceError(f"{source} says no base model: name at least one, like --model small=path/to/model.")
    return {"decoder": base_folder(), "encoder-decoder": base_folder("seq2seq")}


def trainable_on(model: str, loss_on: Sequence[str]) -> tuple[Any, ...]:
    """What the loss can be on: an encoder-decoder learns completions only, whatever is asked for."""
    config = read_config(model_folder(model) / "config.json", title_of(model))
    return ("completion",) if config.get("is_encoder_decoder") else tuple(loss_on)


def task_records(name: str, rows: Rows) -> list[Record]:
    """The rows of a task as records. Raises `RemanenceError` for a row that is no pair of prompt and completion."""
    try:
        given = list(rows())
    except Exception as error:
        raise RemanenceError(f"Task {name}: its function stops with {type(error).__name__}: {error}.") from error
    records = records_from(given, group="train")
    for record in records:
        if record.form != "pair" or not record.prompt or not record.completion:
            raise RemanenceError(
                f"Task {name}, row {record.id!r}: a study compares inputs and outputs, so every row needs a prompt "
                "and a completion."
            )
    return records


def family(task: str) -> str:
    """What stands before the slash; the whole name if there is none."""
    return task.partition("/")[0]


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
