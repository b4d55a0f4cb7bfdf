"""The cache: built once, even by two processes; damaged entries are built again; no half entry is ever left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from remanence.testbeds import cache
from remanence.testbeds.cache import cache_folder, cached, clear, entries, entry_name
from remanence.testbeds.weights import load_arrays, load_weights, save_arrays, save_weights
from remanence.training.tiny import tiny_gpt2


@dataclass(frozen=True)
class Numbers:
    """A configuration for these tests."""

    version: ClassVar[int] = 1
    count: int = 3
    scale: float = 1.0
    parts: tuple[tuple[int, int], ...] = ((1, 2),)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    """Counts how often it builds."""

    def __init__(self) -> None:
        self.built = 0

    def get(self, config: Numbers = Numbers()) -> np.ndarray[Any, Any]:
        def build() -> np.ndarray[Any, Any]:
            self.built += 1
            return np.arange(config.count) * config.scale

        return cached(config, build, lambda x, at: save_arrays({"x": x}, at), lambda at: load_arrays(at)["x"])


def test_the_second_call_reads_what_the_first_built(folder: Path):
    builder = Builder()
    assert builder.get().tolist() == builder.get().tolist() == [0, 1, 2]
    assert builder.built == 1
    (entry,) = entries()
    assert entry.name == entry_name(Numbers()) and (folder / entry.name / "arrays.npz").is_file()
    assert entry.configuration["fields"] == {"class": "Numbers", "count": 3, "scale": 1.0, "parts": [[1, 2]]}


@pytest.mark.parametrize(
    "other", [Numbers(count=4), Numbers(scale=1.5), Numbers(parts=((1, 3),)), Numbers(parts=((1, 2), (3, 4)))]
)
def test_another_configuration_has_another_entry(other: Numbers):
    builder = Builder()
    builder.get(), builder.get(other)
    assert builder.built == 2 and len(entries()) == 2


def test_a_new_version_of_the_builder_or_of_torch_has_another_entry(monkeypatch: pytest.MonkeyPatch):
    names = {entry_name(Numbers())}
    monkeypatch.setattr(Numbers, "version", 2)
    names.add(entry_name(Numbers()))
    monkeypatch.setattr(torch, "__version__", "99")
    assert len(names | {entry_name(Numbers())}) == 3


@pytest.mark.parametrize("damage", ["truncated", "changed", "deleted", "extra", "description"])
def test_a_damaged_entry_is_built_again(folder: Path, damage: str):
    builder = Builder()
    builder.get()
    file = folder / entry_name(Numbers()) / "arrays.npz"
    content = file.read_bytes()
    if damage == "truncated":
        file.write_bytes(content[:-7])
    elif damage == "changed":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "deleted":
        file.unlink()
    elif damage == "extra":
        file.with_name("more.npz").write_bytes(content)
    else:
        file.with_name("entry.json").write_text("{")
    assert builder.get().tolist() == [0, 1, 2]
    assert builder.built == 2
    assert builder.get().tolist() == [0, 1, 2] and builder.built == 2
    assert file.read_bytes() == content


def test_a_failed_build_leaves_nothing(folder: Path):
    def build() -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cached(Numbers(), build, lambda x, at: None, lambda at: None)
    assert [path.name for path in folder.iterdir()] == ["locks"]
    assert Builder().get().tolist() == [0, 1, 2], "and the lock is free"


PROGRAM = """
import sys, time
from pathlib import Path
from dataclasses import dataclass
from typing import ClassVar
from remanence.testbeds.cache import cached

@dataclass(frozen=True)
class Slow:
    version: ClassVar[int] = 1

log = Path(sys.argv[1])

def build():
    with log.open("a") as file:
        file.write("built\\n")
    time.sleep(1.5)
    return "value"

def save(value, at):
    (at / "half.txt").write_text("half")
    if sys.argv[2] == "hang":
        with log.open("a") as file:
            file.write("saving\\n")
        time.sleep(60)
    (at / "value.txt").write_text(value)

assert cached(Slow(), build, save, lambda at: (at / "value.txt").read_text()) == "value"
"""


def start(log: Path, mode: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(log), mode], env=dict(os.environ))


def test_two_processes_at_once_build_once(tmp_path: Path):
    log = tmp_path / "log"
    processes = [start(log) for _ in range(2)]
    assert [p.wait(timeout=120) for p in processes] == [0, 0]
    assert log.read_text() == "built\n"


def test_a_killed_process_leaves_no_entry_and_no_lock(tmp_path: Path, folder: Path):
    log = tmp_path / "log"
    killed = start(log, "hang")
    deadline = time.monotonic() + 120
    while not (log.exists() and "saving" in log.read_text()):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert [p.name for p in folder.iterdir() if not p.name.endswith(".part")] == ["locks"]
    assert start(log).wait(timeout=120) == 0
    assert log.read_text() == "built\nsaving\nbuilt\n"
    assert [p.suffix for p in folder.iterdir() if p.name != "locks"] == [""], "the half entry is gone"


def test_a_cache_that_cannot_be_written_to_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REMANENCE_CACHE", str(tmp_path / "file" / "cache"))
    builder = Builder()
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="set REMANENCE_CACHE to a folder you can write to"):
            assert builder.get().tolist() == [0, 1, 2]
    assert builder.built == 2


def test_a_full_disk_gives_the_value_and_leaves_no_half_entry(folder: Path):
    def save(value: Any, at: Path) -> None:
        (at / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert cached(Numbers(), lambda: 7, save, lambda at: 0) == 7
    assert [path.name for path in folder.iterdir()] == ["locks"]


def test_without_the_variable_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("REMANENCE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "remanence"
    monkeypatch.setenv("REMANENCE_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"


def test_building_uses_one_thread_and_leaves_random_numbers_alone():
    def build() -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return torch.rand(1)

    threads: list[int] = []
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    first = torch.rand(1)
    cached(Numbers(), build, lambda x, at: save_arrays({"x": x.numpy()}, at), lambda at: torch.zeros(1))
    assert threads == [1] and torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_clearing_deletes_entries_and_nothing_else(folder: Path):
    Builder().get(), Builder().get(Numbers(count=9))
    (folder / "mine").mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / f"{entry_name(Numbers(count=8))}.part").mkdir()
    assert clear() == 3 and entries() == []
    assert sorted(path.name for path in folder.iterdir()) == ["locks", "mine", "notes.txt"]
    assert clear() == 0


def test_a_configuration_of_other_things_than_data_is_refused():
    @dataclass(frozen=True)
    class Wrong:
        version: ClassVar[int] = 1
        where: Any = None

    with pytest.raises(TypeError, match="plain data"):
        entry_name(Wrong(Path("/")))


def test_weights_come_back_bit_for_bit_and_tied_ones_stay_tied(tmp_path: Path):
    model = tiny_gpt2("small", vocab=16, seed=3)
    save_weights(model, tmp_path)
    other = load_weights(tiny_gpt2("small", vocab=16, seed=4), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert other.lm_head.weight is other.transformer.wte.weight and not other.training


def test_an_array_of_objects_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="Object arrays"):
        save_arrays({"x": np.array([{}], dtype=object)}, tmp_path)


def test_a_description_can_be_read(folder: Path):
    Builder().get()
    entry = json.loads((folder / entry_name(Numbers()) / "entry.json").read_text())
    assert set(entry["description"]) == {"class", "version", "fields", "libraries", "instructions"}
    assert entry["description"]["libraries"]["torch"] == torch.__version__
    assert cache.describe(Numbers()) == entry["description"]
