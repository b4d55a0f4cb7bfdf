"""The tasks of a study: a small Python file of yours, or the fictional casebook that ships.

The file says `tasks = {"name": function}`; each function gives rows with `prompt` and `completion` (dicts or
`Record`s). What stands before a slash in a name is the task's family: `summarization/letters`. It may also say
`arms(tasks, models)`, a function that gives the arms, where the plain grid is not what you want.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from remanence.core.errors import RemanenceError
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import Casebook
from remanence.corpora.casebook.tasks import TASKS
from remanence.jobs.study.arm import Arm
from remanence.models.weights import model_folder, read_config, title_of

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
