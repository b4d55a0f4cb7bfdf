"""Arms, settings, tasks and the split: what is asked for is what is trained, and nothing leaks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.jobs.study.arm import Arm, grid
from remanence.jobs.study.data import (
    casebook_tasks,
    family,
    read_split,
    read_tasks,
    split_rows,
    task_records,
    trainable_on,
    write_split,
)
from remanence.jobs.study.settings import GridSettings, StudySettings, split_at

SMALL = StudySettings(rows=20, repeated=((4, 2),), members=5, heldout=6, calibration=4)


def records(n: int) -> list[Record]:
    """Rows of 30 words that no other row has."""
    return [
        Record(f"r{i}", prompt=" ".join(f"w{i * 100 + j}" for j in range(30)), completion=f" so {i}") for i in range(n)
    ]


def test_a_split_by_hand() -> None:
    split = split_rows("t", records(60), SMALL, seed=1)
    # 20 rows = 2 rows four times and 12 rows once: 14 different ones, of which 5 are measured
    assert [r.meta["copies"] for r in split.train] == [4, 4] + [1] * 12
    assert len(split.members) == 5 and len(split.heldout) == 6 and len(split.calibration) == 4
    rows = split.rows_in_order(1)
    assert len(rows) == 20 and sorted(Counter(r.prompt for r in rows).values()) == [1] * 12 + [4, 4]
    assert len({r.id for r in rows}) == 20
    parts = [{r.prompt for r in part} for part in (split.train, split.heldout, split.calibration)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_seeds_draw_their_own_rows_and_repeat_them() -> None:
    one, again, other = (split_rows("t", records(60), SMALL, seed) for seed in (1, 1, 2))
    assert one.fingerprint == again.fingerprint != other.fingerprint


def test_unseen_rows_that_stand_among_the_training_rows_are_left_out() -> None:
    rows = records(40)
    doubles = [Record(f"d{i}", prompt=r.prompt, completion=f"{r.completion} indeed") for i, r in enumerate(rows)]
    split = split_rows("t", rows + doubles, SMALL, seed=0)
    trained, unseen = ({r.prompt for r in part} for part in (split.train, [*split.heldout, *split.calibration]))
    assert split.num_leaking > 0 and not trained & unseen


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(RemanenceError, match="Task t has 15 different rows; this study needs 14 to train on and 6"):
        split_rows("t", records(15), SMALL, seed=0)


def test_a_written_split_is_read_back(tmp_path: Path) -> None:
    split = split_rows("t", records(60), SMALL, seed=1)
    run = Run.begin(tmp_path / "s", {"job": "study"})
    write_split(run, "t-s1", split)
    back = read_split(run, "t-s1")
    assert [(r.id, r.prompt, r.completion, r.meta["copies"]) for r in back.train] == [
        (r.id, r.prompt, r.completion, r.meta["copies"]) for r in split.train
    ]
    assert back.num_members == 5 and [r.id for r in back.heldout] == [r.id for r in split.heldout]


def test_prefixes_are_tokens_or_shares() -> None:
    assert (split_at("50", 8), split_at("25%", 8), split_at("0", 8)) == (50, 2, 0)
    with pytest.raises(RemanenceError, match="like 50 or a share like 25%"):
        split_at("half", 8)
    with pytest.raises(RemanenceError, match="share"):
        split_at("100%", 8)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(RemanenceError, match="cannot hold"):
        StudySettings(rows=10, repeated=((16, 1),), members=1)
    with pytest.raises(RemanenceError, match="only 12 different rows"):
        StudySettings(rows=12, repeated=(), members=13)
    with pytest.raises(RemanenceError, match="detectors= may contain calibrated, pan2015, got 'pan2016'"):
        StudySettings(detectors=("pan2016",))
    assert StudySettings.of_spec(SMALL.spec()) == SMALL


def test_the_grid_is_every_combination_and_arms_have_names_of_their_own() -> None:
    arms = grid(["a/x", "a-x"], ["m"], GridSettings(seeds=(0, 1), learning_rates=(1e-3, 2e-3)))
    assert len(arms) == 2 * 2 * 2 * 2
    assert len({(arm.slug, arm.task) for arm in arms}) == len(arms)
    assert {arm.recipe for arm in arms if arm.seed} == {arm.recipe for arm in arms if not arm.seed}
    with pytest.raises(RemanenceError, match="completion or all"):
        Arm("a", "m", "inputs")  # pyright: ignore[reportArgumentType]


def test_a_task_file_is_a_module_with_tasks(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        'def letters():\n    return [{"prompt": "Dear", "completion": " you"}]\ntasks = {"a/letters": letters}\n'
    )
    read = read_tasks(file)
    assert (read.name, list(read.tasks), read.arms) == ("mine", ["a/letters"], None)
    assert task_records("a/letters", read.tasks["a/letters"])[0].completion == " you"
    assert family("a/letters") == "a" and family("letters") == "letters"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks = {}", "needs `tasks"),
        ("tasks = {'a': 3}", "needs `tasks"),
        ("1 / 0", "stops with ZeroDivisionError"),
    ],
)
def test_a_task_file_that_says_nothing_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(RemanenceError, match=message):
        read_tasks(file)
    with pytest.raises(RemanenceError, match="There is no task file"):
        read_tasks(tmp_path / "other.py")


def test_a_row_without_an_output_is_named() -> None:
    with pytest.raises(RemanenceError, match="every row needs a prompt and a completion"):
        task_records("a", lambda: [{"id": "x", "prompt": "Dear", "completion": ""}])
    with pytest.raises(RemanenceError, match="its function stops with KeyError"):
        task_records("a", lambda: [{}["x"]])


def test_the_casebook_has_five_tasks_that_share_no_case() -> None:
    rows = {name: task_records(name, made) for name, made in casebook_tasks(20).items()}
    cases = [{r.meta["case"] for r in found} for found in rows.values()]
    assert list(rows) == ["summarization", "dialogue", "qa", "translation", "sentiment"]
    assert all(len(c) == 20 for c in cases) and len(set.union(*cases)) == 100


def test_an_encoder_decoder_learns_outputs_only() -> None:
    from remanence.corpora.casebook.base_model import base_folder

    assert trainable_on(str(base_folder("seq2seq")), ("completion", "all")) == ("completion",)
    assert trainable_on(str(base_folder()), ("completion", "all")) == ("completion", "all")
