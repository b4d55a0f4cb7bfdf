"""Workers on Ray, as far as they can be looked at without a cluster; `test_two_nodes.py` has one."""

from __future__ import annotations

import importlib.util
import socket
from typing import Any

import pytest

from remanence.core.errors import RemanenceError
from remanence.distributed import ray as module
from remanence.distributed.pool import Failed
from remanence.distributed.ray import RayExecutor, Worker

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


class ColourError(ValueError):
    """An error that is not one of ours."""


def broken(opened: Any, task: Any) -> Any:
    raise ColourError("the row is\n blue")


def refused(opened: Any, task: Any) -> Any:
    raise RemanenceError("Row 4 has no prompt: add one.")


def test_a_worker_opens_once_and_does_what_it_is_given():
    opened: list[int] = []
    worker = Worker(1)
    assert worker.open(lambda: opened.append(1) or 10) is None
    assert [worker.do(lambda model, task: model * task, n) for n in (1, 2, 3)] == [10, 20, 30]
    assert opened == [1]


def test_an_error_of_ours_stays_the_sentence_that_it_is():
    worker = Worker(1)
    assert worker.do(refused, 1) == Failed("Row 4 has no prompt: add one.")


def test_any_other_error_becomes_one_sentence_that_names_the_machine_and_keeps_its_traceback():
    failed = Worker(1).do(broken, 1)
    assert failed.sentence == f"The worker on {socket.gethostname()} cannot do a task: ColourError: the row is blue"
    assert "in broken" in failed.trace and "\n" not in failed.sentence


def test_a_model_that_cannot_be_opened_names_the_machine_where():
    def opens() -> Any:
        raise RemanenceError("There is no model folder x: check the path.")

    failed = Worker(1).open(opens)
    assert failed is not None
    assert failed.sentence.startswith(f"The worker on {socket.gethostname()} cannot open the model: There is no model")


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus", "workers"),
    [
        ({"CPU": 16.0}, 4, 0, 4),
        ({"CPU": 15.0}, 4, 0, 3),
        ({"CPU": 2.0}, 4, 0, 0),
        ({"CPU": 16.0, "GPU": 2.0}, 4, 1, 2),
        ({"CPU": 4.0, "GPU": 8.0}, 4, 1, 1),
        ({"CPU": 16.0}, 4, 1, 0),
    ],
)
def test_a_machine_has_room_for_whole_workers_only(machine: dict[str, float], cpus: int, gpus: int, workers: int):
    assert module._room(machine, cpus, gpus) == workers


@needs_ray
def test_without_a_task_no_cluster_is_started():
    def opens() -> Any:
        raise AssertionError("opened for nothing")

    with RayExecutor() as executor:
        assert list(executor.map(opens, broken, [])) == []
        assert executor._pool is None


def test_that_nobody_answers_at_an_address_is_said_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RemanenceError, match=rf"^There is no Ray cluster at 127\.0\.0\.1:{port} \(.*\): check --ray"):
        module._require_listener(f"127.0.0.1:{port}")
