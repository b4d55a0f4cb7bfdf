"""Options that are not settings of a job: which model and data, where results go, and what a CI server gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from remanence.core.settings import check_settings, option, required


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that a job opens."""

    model: str = required(metavar="MODEL")
    """Model: folder, PEFT adapter folder or Hub name."""
    trust_remote_code: bool = option(False, group="machine")
    """Run Python code that comes with the model."""


@dataclass(frozen=True, kw_only=True)
class FinetunedModelOptions(ModelOptions):
    """A fine-tuned model, and the model that it was fine-tuned from."""

    base: str | None = option(None, group="data", metavar="MODEL")
    """Base model, before fine-tuning. Default: the one that an adapter names."""


@dataclass(frozen=True, kw_only=True)
class TrainingDataOptions:
    """The training rows."""

    data: Path = required(metavar="FILE")
    """Training rows: JSONL, CSV or Parquet, gzipped or not."""


@dataclass(frozen=True, kw_only=True)
class HeldoutOptions:
    """Rows that were not trained on."""

    heldout: Path | None = option(None, group="data", metavar="FILE")
    """Held-out rows: of the same kind as the training rows, but not trained on."""


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Columns of the data files, where they have other names."""

    text_column: str | None = option(None, group="data", metavar="COLUMN")
    """Column of the text. Default: text."""
    prompt_column: str | None = option(None, group="data", metavar="COLUMN")
    """Column of the prompt. Default: prompt."""
    completion_column: str | None = option(None, group="data", metavar="COLUMN")
    """Column of the completion. Default: completion."""
    messages_column: str | None = option(None, group="data", metavar="COLUMN")
    """Column of the chat messages. Default: messages."""
    id_column: str = option("id", group="data", metavar="COLUMN")
    """Column of the row ids."""

    @property
    def named(self) -> dict[str, str]:
        """The columns that have a name, as the Python functions take them."""
        names = ("text", "prompt", "completion", "messages", "id")
        columns = {name: getattr(self, f"{name}_column") for name in names}
        return {name: column for name, column in columns.items() if column is not None}


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Which processes compute."""

    executor: Literal["serial", "ray"] = option("serial", group="machine")
    """Executor: serial, or ray for a cluster."""
    workers: int | None = option(None, group="machine", least=1)
    """Number of Ray workers, each of which holds a model. Default: as many as the cluster has room for."""
    ray_address: str | None = option(None, group="machine", metavar="HOST:PORT")
    """Address of the Ray cluster; auto = the cluster of this machine. Default: a new local one."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class FormatOptions:
    """What is printed."""

    format: Literal["table", "json"] = option("table", group="output")
    """Format of the results on stdout: table for people, json for pipes."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class RevealOptions(FormatOptions):
    """What is printed, and what the report may show."""

    reveal: bool = option(False, group="output")
    """Show training text in the report."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(RevealOptions):
    """The run folder of a job."""

    resume: bool = option(False, group="output")
    """Continue the interrupted run in --out; what is already measured is kept."""


@dataclass(frozen=True, kw_only=True)
class CIOptions:
    """Files for a CI server."""

    summary: Path | None = option(None, group="output", metavar="FILE")
    """Append the verdict as Markdown to this file, such as $GITHUB_STEP_SUMMARY."""
    junit: Path | None = option(None, group="output", metavar="FILE")
    """Write the verdict as JUnit XML to this file."""
