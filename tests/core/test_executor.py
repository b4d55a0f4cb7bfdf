"""The executor hands out pieces of work."""

from __future__ import annotations

from collections.abc import Iterator

from remanence.core.executor import Serial


def test_serial_works_through_tasks_in_order_and_opens_once():
    opened: list[str] = []

    def opens() -> int:
        opened.append("model")
        return 10

    done = list(Serial().map(opens, lambda model, task: model * task, [1, 2, 3]))
    assert done == [(1, 10), (2, 20), (3, 30)]
    assert opened == ["model"]


def test_serial_opens_nothing_without_a_task():
    def opens() -> int:
        raise AssertionError("opened for nothing")

    assert list(Serial().map(opens, lambda model, task: task, [])) == []


def test_serial_takes_a_task_only_when_the_one_before_is_done():
    seen: list[str] = []

    def tasks() -> Iterator[int]:
        for task in (1, 2):
            seen.append(f"taken {task}")
            yield task

    for task, _ in Serial().map(lambda: None, lambda _, task: task, tasks()):
        seen.append(f"done {task}")
    assert seen == ["taken 1", "done 1", "taken 2", "done 2"]
