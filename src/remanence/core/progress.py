"""Progress of long work, on stderr, with the time left; silent when stderr is not a terminal that wants it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import TypeAlias

Advance: TypeAlias = Callable[[int], None]


@contextlib.contextmanager
def track(label: str, total: int, *, show: bool = True) -> Generator[Advance]:
    """A bar of `total` steps; the function it gives moves the bar on by so many."""
    if not show or total == 0:
        yield lambda steps: None
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
        task = progress.add_task(label, total=total)
        yield lambda steps: progress.advance(task, steps)
