"""The mixture: every target row once a pass, other tasks in their shares, and a Trainer that sees exactly that."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.markov import MarkovText
from remanence.mitigate.training.multitask import Multitask, Place, mixture, multitask_rows, task_rates
from remanence.models.huggingface import HuggingFace
from remanence.models.parrot import Parrot
from remanence.training.finetune import Collator, finetune
from remanence.training.rows import Row
from remanence.training.settings import TrainingSettings
from remanence.training.tiny import tiny_gpt2


def test_shares_by_hand():
    # sizes 1 and 4: by size 1/5 and 4/5; at T = 2 their roots, 1/3 and 2/3; T -> infinity: halves
    sizes = {"a": 1, "b": 4}
    assert task_rates(sizes) == {"a": 0.2, "b": 0.8}
    assert task_rates(sizes, 2) == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert task_rates(sizes, 1e9) == pytest.approx({"a": 0.5, "b": 0.5})
    assert task_rates({"a": 3, "none": 0}, 1e9) == {"a": 1.0, "none": 0.0}
    with pytest.raises(ValueError, match="above 0"):
        task_rates(sizes, 0)


def test_a_pass_by_hand():
    # 3 target rows and, at 2 per row, 6 others: 9/12 of them of "b", 3/12 of "c": 4.5 and 1.5, and the tie goes to "b"
    found = mixture({"a": 3, "b": 9, "c": 3}, "a", per_row=2)
    counts = Counter(place.task for place in found)
    assert counts == {"a": 3, "b": 5, "c": 1}
    assert sorted(p for p in found if p.task == "a") == [Place("a", 0), Place("a", 1), Place("a", 2)]


SIZES = st.dictionaries(st.sampled_from("bcde"), st.integers(1, 30), min_size=1)


@given(st.integers(1, 20), SIZES, st.sampled_from([0.0, 0.5, 1.0, 4.0]), st.floats(0.5, 50), st.integers(0, 3))
def test_any_pass_has_every_target_row_once_and_as_many_others_as_asked(
    n: int, others: dict[str, int], per_row: float, temperature: float, number: int
):
    found = mixture({"a": n, **others}, "a", per_row, temperature, seed=1, number=number)
    assert sorted(p.row for p in found if p.task == "a") == list(range(n))
    assert len(found) == n + round(per_row * n)
    assert all(p.row < others[p.task] for p in found if p.task != "a")
    assert found == mixture({"a": n, **others}, "a", per_row, temperature, seed=1, number=number)


def test_passes_use_up_the_other_tasks_before_any_of_their_rows_comes_again():
    sizes = {"a": 4, "b": 10, "c": 6}
    passes = [mixture(sizes, "a", 2, temperature=1e9, seed=3, number=k) for k in range(5)]
    rows_b = [[p.row for p in one if p.task == "b"] for one in passes]
    assert [len(rows) for rows in rows_b] == [4] * 5
    seen = Counter(row for rows in rows_b for row in rows)
    assert set(seen.values()) == {2}, "20 draws of 10 rows: each twice"
    assert max(Counter(row for rows in rows_b[:2] for row in rows).values()) == 1
    again = [mixture(sizes, "a", 2, seed=3) for _ in range(2)]
    assert again[0] == again[1], "without a number every pass has the same rows"
    assert mixture(sizes, "a", 2, seed=4) != again[0]


def test_tasks_are_spread_evenly_over_the_pass():
    found = mixture({"a": 50, "b": 100}, "a", per_row=2, seed=0)
    for start in range(0, 150, 15):
        assert 3 <= sum(p.task == "a" for p in found[start : start + 15]) <= 7, "5 expected in every tenth"


def test_a_mixture_that_cannot_be_had_is_refused():
    with pytest.raises(ValueError, match="no row of its target"):
        mixture({"b": 3}, "a", 1)
    with pytest.raises(ValueError, match="cannot be had"):
        mixture({"a": 3}, "a", 1)
    assert len(mixture({"a": 3}, "a", 0)) == 3


def test_any_kind_of_row_can_be_mixed():
    found = multitask_rows({"a": ["x", "y"], "b": ["1", "2", "3"]}, "a", per_row=1)
    assert Counter(found)["x"] == Counter(found)["y"] == 1 and len(found) == 4


# ---------------------------------------------------------------- in a Trainer

WORDS = [" ".join(f"w{i}" for i in row) for row in MarkovText(64, reserved=2).sample(24, 12, 0).tolist()]
RECORDS = [Record(str(i), text=text, meta={"task": "a" if i < 6 else "bc"[i % 2]}) for i, text in enumerate(WORDS)]


@pytest.fixture
def base() -> HuggingFace:
    vocab = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, 64)}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<eos>", pad_token="<pad>")
    return HuggingFace(tiny_gpt2("small", vocab=64), tokenizer, lambda r: None, "tiny", "f00d")


def test_a_trainer_meets_every_target_row_exactly_as_often_as_there_are_passes(base: HuggingFace, tmp_path):
    base.module.save_pretrained(tmp_path / "base")
    base.tokenizer.save_pretrained(tmp_path / "base")
    seen: Counter[tuple[int, ...]] = Counter()

    def watch(plain: Collator) -> Collator:
        def batch(rows: Sequence[Row]) -> dict[str, Tensor]:
            seen.update(tuple(row.input_ids) for row in rows)
            return plain(rows)

        return batch

    rows = Multitask("a", per_row=1.5).rows(RECORDS)
    finetune(tmp_path / "base", rows, tmp_path / "out", epochs=3, batch_size=4, collator=watch, progress=False)
    ids = [tuple(base.tokenizer(text + "<eos>")["input_ids"]) for text in WORDS]
    assert [seen[row] for row in ids[:6]] == [3] * 6
    assert sorted(seen[row] for row in ids[6:]) == [0] * 9 + [3] * 9
    assert sum(seen.values()) == 45


def test_the_mitigation_trains_on_the_mixture_and_leaves_the_base_alone(base: HuggingFace, tmp_path):
    before = copy.deepcopy(base.module.state_dict())
    few = {"task": "a", "training": TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=4)}
    trained = Multitask(**few, per_row=1, out=str(tmp_path / "out"))(base, RECORDS)
    assert trained.name == "tiny+multitask" and trained.fingerprint != "f00d"
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    again = Multitask(**few, per_row=1)(base, RECORDS)
    assert again.fingerprint == trained.fingerprint, "same seed, same weights"
    brought = Multitask(**few, per_row=1, others=tuple(RECORDS[6:]))(base, RECORDS[:6])
    assert brought.fingerprint == trained.fingerprint, "other tasks may stand in the data or be brought along"
    alone = Multitask(**few, per_row=0)(base, RECORDS)
    assert alone.fingerprint != trained.fingerprint


def test_rows_that_cannot_be_mixed_are_named():
    with pytest.raises(RemanenceError, match="Row 'x' has no column 'task'"):
        Multitask().rows([Record("x", text="t")])
    with pytest.raises(RemanenceError, match="choose one of a, b"):
        Multitask("z").rows(RECORDS)
    with pytest.raises(RemanenceError, match="give rows of other tasks"):
        Multitask("a").rows(RECORDS[:6])


def test_a_target_that_cannot_be_trained_is_refused():
    with pytest.raises(RemanenceError, match="parrot cannot be fine-tuned"):
        Multitask("a", per_row=1)(Parrot(), RECORDS)
