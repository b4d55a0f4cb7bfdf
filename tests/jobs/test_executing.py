"""Who does the work of an audit does not show in its folder; workers open the very model that was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from memorizers import LEARNED, UNSEEN, overfit

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.executor import Serial
from remanence.engine.executors import open_executor
from remanence.engine.opening import TargetRecipe, beside_workers, by_role, open_targets
from remanence.jobs.audit import attempts
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.parrot import Parrot

SMALL = AuditSettings(prefixes=(0, 4), new_tokens=8, shard_rows=3, schemes=("T=1",), generate="all")
TOLD = Parrot(tuple(LEARNED[:4]))


@dataclass
class Backwards:
    """An executor that opens its own targets, does all tasks from the last to the first, and keeps the names."""

    done: list[str] = field(default_factory=list)

    def map(self, opens: Callable[[], Any], work: Any, tasks: Iterable[Any]) -> Generator[Any]:
        waiting = list(tasks)
        opened = opens() if waiting else None
        for task in reversed(waiting):
            self.done.append(task.name)
            yield task, work(opened, task)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def small(out: Path, executor: Any = None, **more: Any) -> Any:
    opens = lambda: {"tuned": Parrot(TOLD.records)}  # noqa: E731  opened anew
    return run_audit(TOLD, LEARNED, UNSEEN, None, out, SMALL, show=False, executor=executor, opens=opens, **more)


@pytest.fixture(autouse=True)
def _few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BATCH", 3)


# ------------------------------------------------------------------ the same folder


def test_work_done_in_another_order_gives_the_same_folder(tmp_path: Path) -> None:
    small(tmp_path / "serial")
    backwards = Backwards()
    small(tmp_path / "backwards", backwards)
    assert files(tmp_path / "backwards") == files(tmp_path / "serial")
    assert backwards.done[:3] == [f"tokens/tuned-heldout-0000{i}" for i in (2, 1, 0)]
    assert len(backwards.done) == 6 + 6  # 8 + 8 rows in threes, and as many questions


def test_what_is_written_is_not_handed_out(tmp_path: Path) -> None:
    """Begun in this process, ended by another executor: only the missing shards are worked on."""
    small(tmp_path / "run")
    before = files(tmp_path / "run")
    for name in ("tokens/tuned-train-00001.parquet", "attempts.parquet", "attempts/tuned-heldout-00002.parquet"):
        (tmp_path / "run" / name).unlink()
    backwards = Backwards()
    small(tmp_path / "run", backwards, resume=True)
    assert backwards.done == ["tokens/tuned-train-00001", "tuned-heldout-00002"]
    assert files(tmp_path / "run") == before


def test_bars_move_whoever_does_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opens = lambda: {"tuned": TOLD}  # noqa: E731
    run_audit(TOLD, LEARNED, None, None, tmp_path / "run", SMALL, executor=Backwards(), opens=opens)
    said = capsys.readouterr().err
    assert "tuned model on train rows" in said and "8/8" in said


# ------------------------------------------------------------------ what workers open


def test_a_model_that_was_handed_over_as_an_object_is_not_sent_to_workers(tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="parrot cannot be handed over as an object: pass the folder or Hub name"):
        remanence.audit(TOLD, LEARNED, out=tmp_path / "run", executor=Backwards(), show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_worker_elsewhere_finds_the_folders_that_were_named_from_here(
    tuned: Path, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tuned.parent)
    targets = by_role(*open_targets(tuned.name, None, SMALL))
    recipe = TargetRecipe.of(tuned.name, llama, SMALL, False, targets | {"base": targets["tuned"]})
    assert recipe is not None and recipe.model == str(tuned.resolve()) and recipe.base == str(llama.resolve())
    monkeypatch.chdir(tmp_path)
    alone = replace(recipe, base=None, fingerprints={"tuned": targets["tuned"].fingerprint})
    assert alone()["tuned"].fingerprint == targets["tuned"].fingerprint


def test_the_base_model_that_an_adapter_names_is_named_to_the_workers(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = overfit(llama, tmp_path / "adapter", LEARNED, steps=1, adapter=True)
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace(str(llama), llama.name))  # a relative path counts from here
    monkeypatch.chdir(llama.parent)
    targets = by_role(*open_targets(adapter, None, SMALL))
    recipe = TargetRecipe.of(adapter, None, SMALL, False, targets)
    assert recipe is not None and recipe.base == str(llama.resolve())
    monkeypatch.chdir("/")
    assert {role: t.fingerprint for role, t in recipe().items()} == recipe.fingerprints


def test_a_worker_with_other_weights_under_the_same_name_is_refused(tuned: Path, llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tuned, tmp_path / "model")
    recipe = TargetRecipe.of(folder, None, SMALL, False, by_role(*open_targets(folder, None, SMALL)))
    shutil.copy(llama / "model.safetensors", folder / "model.safetensors")
    assert recipe is not None
    with pytest.raises(RemanenceError, match="model has other weights there than here: copy the model"):
        recipe()


def test_a_worker_with_other_versions_is_refused(tuned: Path) -> None:
    recipe = TargetRecipe(str(tuned), None, SMALL)
    with pytest.raises(RemanenceError, match="It has other versions of torch: install the same on every machine"):
        replace(recipe, versions=recipe.versions | {"torch": "1.0"})()


def test_with_workers_this_process_keeps_off_the_gpu_unless_it_scores_too() -> None:
    assert beside_workers(replace(SMALL, device="cuda"), scores_here=False).device == "cpu"
    assert beside_workers(replace(SMALL, device="cuda"), scores_here=True).device == "cuda"
    with pytest.raises(RemanenceError, match="--device cuda:1 is a GPU of one machine: with --executor ray, use cuda"):
        beside_workers(replace(SMALL, device="cuda:1"), scores_here=False)


# ------------------------------------------------------------------ names of executors


def test_serial_is_this_process_and_an_executor_of_your_own_is_taken_as_it_is() -> None:
    own = Backwards()
    with open_executor("serial") as here, open_executor(own) as there:
        assert isinstance(here, Serial) and there is own


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("dask",), "--executor is one of serial, ray, got 'dask'"),
        (("serial", 2), "--workers and --ray-address need --executor ray"),
        (("serial", None, "auto"), "--workers and --ray-address need --executor ray"),
        (("ray", 0), "--workers must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_said_before_a_model_is_opened(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(RemanenceError, match=sentence), open_executor(*arguments):
        pass


def test_without_ray_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with (
        pytest.raises(RemanenceError, match=r"--executor ray needs Ray: pip install 'remanence\[ray\]'"),
        open_executor("ray"),
    ):
        pass
