"""Early stopping: the best allowed state is kept, and training ends above the rate or when nothing improves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.markov import MarkovText
from remanence.mitigate.training.early_stopping import (
    EarlyStopping,
    Evaluation,
    StopOnExtraction,
    best_evaluation,
    reason_to_stop,
)
from remanence.models.huggingface import HuggingFace
from remanence.models.parrot import Parrot
from remanence.training.from_base import training_rows
from remanence.training.guard import recited_fraction
from remanence.training.settings import TrainingSettings
from remanence.training.tiny import tiny_gpt2


def evaluations(*pairs: tuple[float, float]) -> list[Evaluation]:
    return [Evaluation(epoch, *pair) for epoch, pair in enumerate(pairs)]


def test_the_epoch_that_is_kept_by_hand():
    # epoch 3 has the lowest loss, but recites 5 %; of the others, epoch 2 is the best
    seen = evaluations((0.0, 4.0), (0.0, 3.0), (0.01, 2.0), (0.05, 1.5))
    assert best_evaluation(seen, max_extraction_rate=0.01) == Evaluation(2, 0.01, 2.0)
    assert best_evaluation(seen, max_extraction_rate=0.1) == Evaluation(3, 0.05, 1.5)
    assert best_evaluation(evaluations((0.0, 4.0), (0.5, 3.0)), max_extraction_rate=0.01).epoch == 0, (
        "rather no training at all"
    )
    assert best_evaluation(evaluations((0.2, 4.0), (0.1, 3.0), (0.1, 2.0)), max_extraction_rate=0.01).epoch == 2, (
        "past it from the start: least"
    )
    assert best_evaluation(evaluations((0.0, 2.0), (0.0, 2.0)), max_extraction_rate=0.01).epoch == 0, (
        "ties go to the earlier one"
    )


def test_when_to_stop_by_hand():
    assert reason_to_stop(evaluations((0.0, 4.0), (0.0, 3.0)), 0.01, patience=2) is None
    assert "5.0% of the sampled rows are recited after epoch 1" in str(
        reason_to_stop(evaluations((0, 4), (0.05, 3)), 0.01, 2)
    )
    assert reason_to_stop(evaluations((0.5, 4.0)), 0.01, 2) is None, "a base model past the limit may be trained"
    assert reason_to_stop(evaluations((0, 4), (0, 3), (0, 3.1)), 0.01, patience=2) is None
    assert "not fallen since epoch 1" in str(
        reason_to_stop(evaluations((0, 4), (0, 3), (0, 3.1), (0, 3.2)), 0.01, patience=2)
    )
    assert reason_to_stop(evaluations((0, 4), (0, 3), (0, 3.1), (0, 2.9)), 0.01, patience=2) is None


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        ids = torch.arange(8) + i
        return {"input_ids": ids, "labels": ids}


def test_anyones_trainer_ends_with_the_best_epochs_weights(tmp_path):
    model = tiny_gpt2("small", vocab=64)
    seen: list[dict[str, torch.Tensor]] = []
    answers = iter([(0.0, 4.0), (0.0, 3.0), (0.0, 2.5), (0.4, 2.0), (0.0, 0.0)])

    def measure(live: Any) -> tuple[float, float]:
        assert not live.training
        torch.manual_seed(9)  # must not reach the training
        seen.append(copy.deepcopy(live.state_dict()))
        return next(answers)

    stop = StopOnExtraction(measure, max_extraction_rate=0.1)
    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=9, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=Rows(), callbacks=[stop]).train()
    assert [one.epoch for one in stop.evaluations] == [0, 1, 2, 3] and stop.best == Evaluation(2, 0.0, 2.5)
    assert "after epoch 3" in stop.why
    assert all(torch.equal(value, seen[2][name]) for name, value in model.state_dict().items())
    assert not torch.equal(seen[2]["transformer.wte.weight"], seen[3]["transformer.wte.weight"])
    answers = iter([(0.0, 4.0), (0.0, 3.0), (0.0, 3.0), (0.0, 3.0)])
    twice = StopOnExtraction(measure, max_extraction_rate=0.1, patience=1, evaluations_per_epoch=2)
    Trainer(model, arguments, train_dataset=Rows(), callbacks=[twice]).train()
    assert [one.epoch for one in twice.evaluations] == [0, 0.5, 1, 1.5] and twice.best == Evaluation(0.5, 0.0, 3.0)


@pytest.fixture
def base() -> HuggingFace:
    vocab = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, 64)}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<eos>", pad_token="<pad>")
    return HuggingFace(tiny_gpt2("small", vocab=64), tokenizer, lambda r: None, "tiny", "f00d")


WORDS = [" ".join(f"w{i}" for i in row) for row in MarkovText(64, reserved=2).sample(12, 20, 0).tolist()]
TRAIN = [Record(str(i), text=text) for i, text in enumerate(WORDS[:8])]
HELD = [Record(f"h{i}", text=text, group="heldout") for i, text in enumerate(WORDS[8:])]
HARD: dict[str, Any] = {"training": TrainingSettings(epochs=60, learning_rate=3e-3, batch_size=4), "patience": 60}


def test_the_mitigation_ends_before_rows_are_recited(base: HuggingFace):
    before = copy.deepcopy(base.module.state_dict())
    rows = training_rows(base, TRAIN, TrainingSettings())
    loose = EarlyStopping(max_extraction_rate=1.0, **HARD)(base, [*TRAIN, *HELD])
    assert loose.name == "tiny+early_stopping"
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    method = EarlyStopping(max_extraction_rate=0.0, tokens=8, **HARD)
    tight = method(base, [*TRAIN, *HELD])
    assert recited_fraction(tight.module, rows, 8) == 0
    callback = method.callback(base, TRAIN, HELD)
    extraction, first = callback.measure(base.module)
    assert extraction == 0 and callback.measure(tight.module)[1] < first, "it has learned something all the same"


def test_a_tenth_of_the_rows_is_held_out_where_none_are_given(base: HuggingFace):
    train, heldout = EarlyStopping().split(TRAIN)
    assert len(heldout) == 1 and sorted(r.id for r in (*train, *heldout)) == [r.id for r in TRAIN]
    assert EarlyStopping().split([*TRAIN, *HELD]) == (TRAIN, HELD)


def test_targets_and_settings_that_cannot_be_are_refused(base: HuggingFace):
    with pytest.raises(RemanenceError, match="parrot cannot be fine-tuned"):
        EarlyStopping()(Parrot(), TRAIN)
    with pytest.raises(RemanenceError, match="patience"):
        StopOnExtraction(lambda _: (0, 0), patience=0)
    with pytest.raises(RemanenceError, match="training rows and held-out rows"):
        EarlyStopping()(base, [*TRAIN, Record("empty", text="", group="heldout")])
