"""Progress bars on stderr, with the remaining time; silent if they are not wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Hashable, Mapping
from typing import TypeAlias, TypeVar

Advance: TypeAlias = Callable[[int], None]
Key = TypeVar("Key", bound=Hashable)


@contextlib.contextmanager
def track(label: str, total: int, *, show: bool = True) -> Generator[Advance]:
    """A progress bar of `total` steps; the yielded function advances it by a number of steps."""
    with tracks({label: (label, total)}, show=show) as advance:
        yield lambda steps: advance(label, steps)


@contextlib.contextmanager
def tracks(bars: Mapping[Key, tuple[str, int]], *, show: bool = True) -> Generator[Callable[[Key, int], None]]:
    """Several progress bars, (label, total) each, for parallel work; bars without steps are left out."""
    bars = {key: (label, total) for key, (label, total) in bars.items() if total}
    if not show or not bars:
        yield lambda key, steps: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {key: progress.add_task(label, total=total) for key, (label, total) in bars.items()}
        yield lambda key, steps: progress.advance(tasks[key], steps)
