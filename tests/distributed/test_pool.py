"""The pool: tasks go out to workers, workers die, and every task comes back once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from remanence.core.errors import RemanenceError
from remanence.distributed.pool import Failed, Lost, Pool


@dataclass
class Village:
    """A crew in this process: workers square numbers, at a pace of the test's choosing.

    `dies` says at which of its tasks a worker dies, given (worker, task, how often that task was begun before).
    """

    picks: Callable[[Sequence[Any]], Any] = lambda tickets: tickets[0]
    dies: Callable[[int, Any, int], bool] = lambda worker, task, before: False
    opens: Callable[[int], Any] = lambda worker: None
    answers: Callable[[Any], Any] = lambda task: task * task
    needs: str = "each needs 1 CPU"
    places: bool = True
    slow: int = 0
    """How often the village keeps one waiting longer than anyone's patience."""
    hired: int = 0
    dismissed: list[int] = field(default_factory=list)
    begun: list[Any] = field(default_factory=list)
    lanes: dict[int, list[Any]] = field(default_factory=dict)
    """Worker -> its tickets in order, each (worker, number, task or None for opening)."""
    back: dict[Any, Any] = field(default_factory=dict)
    tickets: int = 0

    def ticket(self, worker: int, task: Any) -> Any:
        self.tickets += 1
        self.lanes.setdefault(worker, []).append((worker, self.tickets, task))
        return worker, self.tickets, task

    def hire(self) -> tuple[int, Any]:
        self.hired += 1
        return self.hired, self.ticket(self.hired, None)

    def came(self, worker: int) -> bool:
        return self.places

    def give(self, worker: int, task: Any) -> Any:
        return self.ticket(worker, task)

    def first(self, tickets: Sequence[Any], seconds: float | None) -> Any | None:
        """The next step of the village: of the tickets that are first in their lanes, the one picked comes back."""
        if self.slow and seconds is not None:
            self.slow -= 1
            return None
        ready = [t for t in tickets if t in self.back or self.lanes[t[0]][0] == t]
        if not ready:
            return None
        return self.picks(ready)

    def result(self, ticket: Any) -> Any:
        worker, _, task = ticket
        if ticket not in self.back:
            self.work(worker, ticket, task)
        answer = self.back.pop(ticket)
        if isinstance(answer, Lost):
            raise answer
        return answer

    def work(self, worker: int, ticket: Any, task: Any) -> None:
        self.lanes[worker].remove(ticket)
        if task is None:
            answer = self.opens(worker)
            self.back[ticket] = answer
            dead = isinstance(answer, Lost)
        else:
            dead = self.dies(worker, task, self.begun.count(task))
            self.begun.append(task)
            self.back[ticket] = Lost("out of memory") if dead else self.answers(task)
        if dead:
            self.back |= {other: Lost("out of memory") for other in self.lanes.pop(worker)}

    def dismiss(self, worker: int) -> None:
        self.dismissed.append(worker)


def through(pool: Pool, tasks: Any) -> list[tuple[Any, Any]]:
    return list(pool.work_through(tasks, lambda task: f"task {task}"))


def test_two_workers_square_three_numbers():
    village = Village()
    assert sorted(through(Pool(village, 2), [1, 2, 3])) == [(1, 1), (2, 4), (3, 9)]
    assert village.hired == 2 and sorted(village.begun) == [1, 2, 3]


def test_results_come_as_they_are_done_not_as_they_were_given():
    """The newest ticket is always the first to be back: the last task is not the last result."""
    village = Village(picks=lambda tickets: tickets[-1])
    done = [task for task, _ in through(Pool(village, 3), range(1, 10))]
    assert sorted(done) == list(range(1, 10)) and done != sorted(done)


def test_no_more_workers_are_hired_than_there_are_tasks():
    village = Village()
    assert through(Pool(village, 8), [5]) == [(5, 25)]
    assert village.hired == 1


def test_without_tasks_nobody_is_hired():
    village = Village()
    assert through(Pool(village, 8), []) == [] and village.hired == 0


def test_tasks_are_taken_as_hands_come_free_not_ahead_of_time():
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for task in range(1000):
            taken.append(task)
            yield task

    for count, _ in enumerate(Pool(Village(), 3).work_through(tasks(), str), 1):
        assert len(taken) <= count + 3 * 2 + 3  # two in each hand, and one for each that is being hired


def test_workers_are_kept_for_the_next_round():
    village = Village()
    pool = Pool(village, 2)
    assert through(pool, [1, 2, 3]) and through(pool, [4, 5])
    assert village.hired == 2 and village.dismissed == []


# ------------------------------------------------------------------ deaths


def test_what_a_dead_worker_held_is_handed_out_again_and_nothing_else():
    """Worker 1 dies over task 3: that task is begun twice, every other one once."""
    village = Village(dies=lambda worker, task, before: task == 3 and before == 0)
    assert sorted(through(Pool(village, 2), range(1, 9))) == [(n, n * n) for n in range(1, 9)]
    assert sorted(village.begun) == [1, 2, 3, 3, 4, 5, 6, 7, 8]
    assert len(village.dismissed) == 1


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("deadly", [2, 3, 5])
def test_every_task_comes_back_once_however_many_die(deadly: int, newest_first: bool):
    """Every `deadly`-th beginning is a death; a task may be begun again, but comes back once."""
    village = Village(picks=(lambda ts: ts[-1]) if newest_first else (lambda ts: ts[0]))
    village.dies = lambda worker, task, before: before == 0 and task % deadly == 0
    done = through(Pool(village, 3), range(1, 40))
    assert sorted(done) == [(n, n * n) for n in range(1, 40)]
    assert max(village.begun.count(n) for n in range(1, 40)) == 2


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_task_that_three_workers_died_over_ends_the_run_by_name(newest_first: bool):
    village = Village(
        dies=lambda worker, task, before: task == 4, picks=(lambda ts: ts[-1]) if newest_first else (lambda ts: ts[0])
    )
    with pytest.raises(RemanenceError, match=r"^3 workers died over task 4 \(out of memory\): give a worker more"):
        through(Pool(village, 2), range(1, 9))
    assert village.begun.count(4) == 3
    assert sorted(set(village.dismissed)) == list(range(1, village.hired + 1))  # nobody is left behind


def test_a_worker_that_dies_while_it_opens_the_model_is_replaced():
    village = Village(opens=lambda worker: Lost("killed") if worker == 1 else None)
    assert sorted(through(Pool(village, 2), [1, 2, 3])) == [(1, 1), (2, 4), (3, 9)]


def test_workers_that_all_die_while_they_open_the_model_end_the_run():
    village = Village(opens=lambda worker: Lost("killed"))
    with pytest.raises(
        RemanenceError, match=r"workers died while they opened the model \(killed\): check that it fits"
    ):
        through(Pool(village, 2), [1, 2, 3])
    assert village.hired <= 4


def test_when_no_worker_finds_a_place_the_sentence_says_what_each_needs():
    village = Village(places=False, slow=1)
    with pytest.raises(RemanenceError, match="No worker found a place in 300 seconds: each needs 1 CPU; ask for"):
        through(Pool(village, 2), [1])


def test_a_model_that_takes_long_to_open_is_waited_for():
    assert through(Pool(Village(slow=1), 2), [1]) == [(1, 1)]


def test_when_the_last_worker_dies_new_ones_are_tried_however_many_failed_to_start_before():
    """Worker 1 comes, 2 to 4 die while they start, 1 dies over task 3, and 5 does the rest."""
    village = Village(opens=lambda worker: Lost("killed") if worker in (2, 3, 4) else None)
    village.dies = lambda worker, task, before: worker == 1 and task == 3
    assert sorted(through(Pool(village, 2), range(1, 9))) == [(n, n * n) for n in range(1, 9)]
    assert village.hired >= 5


# ------------------------------------------------------------------ errors


def test_a_model_that_cannot_be_opened_ends_the_run_with_its_sentence():
    village = Village(opens=lambda worker: Failed("There is no model folder x: check the path."))
    with pytest.raises(RemanenceError, match=r"^There is no model folder x: check the path\.$"):
        through(Pool(village, 2), [1])


def test_a_failed_task_ends_the_run_with_its_sentence_and_keeps_the_workers_own_traceback():
    village = Village(answers=lambda task: Failed("It broke.", "Traceback: line 3"))
    with pytest.raises(RemanenceError, match=r"^It broke\.$") as caught:
        through(Pool(village, 2), [1, 2])
    assert "line 3" in str(caught.value.__cause__)


def test_a_round_that_is_left_early_lets_the_workers_go_and_the_next_hires_anew():
    village = Village()
    pool = Pool(village, 2)
    for _ in pool.work_through(range(10), str):
        break
    assert sorted(village.dismissed) == [1, 2]
    assert sorted(through(pool, [1, 2, 3])) == [(1, 1), (2, 4), (3, 9)]
