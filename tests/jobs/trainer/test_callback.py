"""AuditCallback in live trainers: it sees, logs, stops and keeps, and the training is the same with and without it."""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest
import small_trainers as small
import torch
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, Trainer, TrainerCallback, TrainingArguments

from remanence import AuditCallback
from remanence.core.errors import RemanenceError
from remanence.jobs.trainer import callback as module
from remanence.jobs.trainer.curve import FILE
from remanence.models.load import load_model
from remanence.training.reference import preserve_training_state
from remanence.training.rows import Row, pad_rows, training_row

SHORT = {"prefixes": (0, 1, 2), "new_tokens": 4, "show": False, "preflight": False}


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.rows[place]._asdict()


def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    return pad_rows([Row(item["input_ids"], item["labels"]) for item in items], 0)


def hf(folder: Path, callbacks: list[Any], kind: str = "llama", net: Any = None, **arguments: Any) -> Any:
    """transformers' own trainer over ROWS; the rows are read as TRL reads them."""
    made, tokenizer = small.model(kind, dropout=0.1 if kind != "llama" else 0.0)
    seq2seq = kind in {"t5", "bart"}
    kinds: Any = (Seq2SeqTrainer, Seq2SeqTrainingArguments) if seq2seq else (Trainer, TrainingArguments)
    return kinds[0](
        model=net or made,
        args=kinds[1](**{**small.plain(folder), **arguments}, dataloader_pin_memory=False),
        train_dataset=Rows([training_row(tokenizer, r, 128, "auto", seq2seq) for r in small.ROWS]),
        data_collator=collate,
        processing_class=tokenizer,
        callbacks=callbacks,
    )


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_the_curve_of_a_model_that_learns_its_rows_rises_and_the_floor_does_not(tmp_path: Path) -> None:
    """Eight rows, sixty passes: they come back, those never trained on do not; every figure adds up by hand."""
    callback = AuditCallback(heldout=small.UNSEEN, **SHORT)
    trainer = hf(tmp_path, [callback], num_train_epochs=60, learning_rate=1e-2)
    trainer.train()
    first, last = callback.curve[0], callback.curve[-1]
    assert [look.step for look in callback.curve] == [4 * epoch for epoch in range(61)]
    assert (first.hits, first.n, first.floor_n) == (0, 8, 8)
    assert last.hits >= 6 and last.rate == last.hits / 8 and last.rows.count("1") == last.hits
    assert last.excess == pytest.approx(last.hits / 8 - last.floor_hits / 8)
    assert last.over_base == pytest.approx(last.hits / 8 - first.hits / 8)
    assert last.low < last.rate <= last.high and last.excess_low < last.excess
    assert last.loss < 0.2 < last.heldout_loss and last.auc == 1.0 > first.auc


def test_a_look_says_what_the_models_own_loss_says(tmp_path: Path) -> None:
    """An oracle: the mean loss of the probe rows, one at a time through `model(labels=...)`, weighted by tokens."""
    callback = AuditCallback(**SHORT)
    trainer = hf(tmp_path, [callback])
    trainer.train()
    total = count = 0.0
    with torch.no_grad(), preserve_training_state(trainer.model):
        for row in trainer.train_dataset.rows:
            batch = pad_rows([row], 0)
            here = int((batch["labels"][:, 1:] != -100).sum())
            total += float(trainer.model(**batch).loss) * here
            count += here
    assert callback.curve[-1].loss == pytest.approx(total / count, abs=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_the_weights_are_those_without_the_callback(tmp_path: Path, kind: str) -> None:
    """Dropout on (GPT-2, T5), rows in random order, a look every step: the same weights to the bit."""
    runs: list[dict[str, torch.Tensor]] = []
    for callbacks in ([], [AuditCallback(heldout=small.UNSEEN, every=1, **SHORT)]):
        torch.manual_seed(3)
        trainer = hf(tmp_path / str(len(runs)), callbacks, kind, gradient_accumulation_steps=2)
        trainer.train()
        runs.append(weights(trainer.model))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_look_leaves_modes_cache_and_random_states_as_they_were(tmp_path: Path) -> None:
    model, _ = small.model("gpt2")
    model.transformer.h[0].eval()
    before = [part.training for part in model.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    with preserve_training_state(model):
        assert not any(part.training for part in model.modules())
        _ = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    assert [part.training for part in model.modules()] == before
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert random.getstate() == states[2]


class Listener(TrainerCallback):
    """Another callback, such as TensorBoard's."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.heard.append({**logs, "step": state.global_step})


def test_figures_reach_the_trainers_history_and_every_other_callback(tmp_path: Path) -> None:
    """The trainer's own log, a line a step, is whole: a look at a step does not swallow it."""
    listener = Listener()
    callback = AuditCallback(heldout=small.UNSEEN, every=2, **SHORT)
    trainer = hf(tmp_path, [listener, callback])
    trainer.train()
    for lines in (trainer.state.log_history, listener.heard):
        looks = [line for line in lines if "audit_rate" in line]
        assert [line["step"] for line in looks] == [0, 2, 4, 6, 8]
        assert [line["audit_loss"] for line in looks] == [look.loss for look in callback.curve]
        assert [line["step"] for line in lines if "loss" in line] == list(range(1, 9))
    assert {"audit_low", "audit_high", "audit_floor_rate", "audit_excess_low", "audit_auc"} <= set(looks[0])


@pytest.mark.slow
def test_tensorboard_gets_the_figures(tmp_path: Path) -> None:
    event_file = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = hf(tmp_path, [AuditCallback(**SHORT)], report_to=["tensorboard"], logging_dir=str(tmp_path / "tb"))
    trainer.train()
    found = event_file.EventAccumulator(str(tmp_path / "tb")).Reload()
    assert "train/audit_rate" in found.Tags()["scalars"]


def test_the_curve_is_a_file_that_is_whole_after_every_look(tmp_path: Path) -> None:
    callback = AuditCallback(every=3, **SHORT)
    hf(tmp_path, [callback]).train()
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 3, 6, 8], "every third step, and the last"
    assert [line["loss"] for line in lines] == [look.loss for look in callback.curve]


@pytest.mark.slow
def test_a_resumed_training_goes_on_with_its_curve(tmp_path: Path) -> None:
    """Stopped after epoch 2 of 4 and taken up again from the checkpoint: the curve of the unbroken run."""
    whole = AuditCallback(heldout=small.UNSEEN, **SHORT)
    hf(tmp_path / "whole", [whole], num_train_epochs=4).train()

    class Kill(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step == 8

    parts = {"num_train_epochs": 4, "save_strategy": "epoch"}
    hf(tmp_path / "parts", [AuditCallback(heldout=small.UNSEEN, **SHORT), Kill()], **parts).train()
    again = AuditCallback(heldout=small.UNSEEN, **SHORT)
    hf(tmp_path / "parts", [again], **parts).train(resume_from_checkpoint=True)
    assert [look.step for look in again.curve] == [0, 4, 8, 12, 16]
    assert [(look.rows, look.over_base) for look in again.curve] == [
        (look.rows, look.over_base) for look in whole.curve
    ]
    assert [look.loss for look in again.curve] == pytest.approx([look.loss for look in whole.curve], abs=1e-6)


def test_a_curve_of_other_rows_is_not_taken_up(tmp_path: Path) -> None:
    hf(tmp_path, [AuditCallback(**SHORT)], save_strategy="epoch").train()
    other = hf(tmp_path, [AuditCallback(probe=small.UNSEEN, **SHORT)], num_train_epochs=4, save_strategy="epoch")
    with pytest.raises(RemanenceError, match="measured on other rows"):
        other.train(resume_from_checkpoint=True)


def test_a_rule_ends_the_training(tmp_path: Path) -> None:
    callback = AuditCallback(heldout=small.UNSEEN, stop_if="auc>=0.95", **SHORT)
    trainer = hf(tmp_path, [callback], num_train_epochs=40, learning_rate=1e-2)
    trainer.train()
    assert trainer.state.global_step < 160 and "auc>=0.95" in callback.why
    assert [look.auc >= 0.95 for look in callback.curve] == [False] * (len(callback.curve) - 1) + [True]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_best_model_is_kept_and_put_back(tmp_path: Path, kind: str) -> None:
    """Lowest held-out loss within the limit: the folder opens as a model, and its look can be taken again."""
    callback = AuditCallback(heldout=small.UNSEEN, keep_best=0.5, load_best=True, **SHORT)
    trainer = hf(tmp_path, [callback], kind, num_train_epochs=25, learning_rate=1e-2)
    trainer.train()
    allowed = [look for look in callback.curve if look.excess <= 0.5]
    assert callback.best == min(allowed, key=lambda look: look.heldout_loss)
    assert callback.best.step < callback.curve[-1].step
    saved = load_model(tmp_path / "remanence-best").model
    live = dict(trainer.model.named_parameters())
    assert all(torch.equal(value, live[name].detach().cpu()) for name, value in saved.named_parameters())
    with preserve_training_state(trainer.model):
        facts = callback._facts(trainer.model)
    assert facts["heldout"].loss == pytest.approx(callback.best.heldout_loss, abs=1e-6)


@pytest.mark.slow
def test_an_adapter_is_kept_alone_and_put_back(tmp_path: Path) -> None:
    from peft import LoraConfig

    torch.manual_seed(0)
    adapter = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1, task_type="CAUSAL_LM")
    callback = AuditCallback(heldout=small.UNSEEN, keep_best=1.0, load_best=True, **SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT asks transformers for an attribute under its old name
        trainer = small.sft(
            tmp_path, callbacks=[callback], peft_config=adapter, num_train_epochs=12, learning_rate=2e-2
        )
        trainer.train()
    kept = sorted(path.name for path in (tmp_path / "remanence-best").glob("*.safetensors"))
    assert kept == ["adapter_model.safetensors"]
    with preserve_training_state(trainer.model):
        assert callback._facts(trainer.model)["heldout"].loss == pytest.approx(callback.best.heldout_loss, abs=1e-6)


@pytest.mark.slow
def test_rows_given_by_name_are_read_as_trl_reads_them(tmp_path: Path) -> None:
    """The probe drawn from the prepared data and the same rows given by name: one fingerprint, whatever the masks."""
    for config in ({}, {"completion_only_loss": False}, {"max_length": 14}):
        prints: list[set[bytes]] = []
        for given in (None, small.ROWS):
            callback = AuditCallback(probe=given, **{**SHORT, "new_tokens": 1})
            trainer = small.sft(tmp_path, callbacks=[callback], max_steps=1, **config)
            trainer.train()
            rows = [row for row in callback._groups["probe"].rows if not isinstance(row, str) and row.scored.any()]
            prints.append({row.ids.tobytes() + row.supervised[1:].tobytes() for row in rows})
        assert prints[0] == prints[1] and prints[0]


@pytest.mark.slow
def test_trls_own_metrics_are_not_taken_from_its_log(tmp_path: Path) -> None:
    callback = AuditCallback(every=1, **SHORT)
    trainer = small.sft(tmp_path, callbacks=[callback], logging_steps=2)
    trainer.train()
    looks = [line for line in trainer.state.log_history if "audit_rate" in line]
    own = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["step"] for line in own] == [2, 4, 6, 8]
    assert all("mean_token_accuracy" in line for line in own) and not any("entropy" in line for line in looks)


def test_the_cost_is_told_in_advance_and_afterwards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = {**SHORT, "show": True, "preflight": True}
    callback = AuditCallback(heldout=small.UNSEEN, every=4, **shown)
    hf(tmp_path, [callback]).train()
    said = capsys.readouterr().err
    assert "8 probe rows and 8 held-out rows takes" in said and "2 more are planned" in said
    assert "of the training" in said and "3 evaluations took" in said
    assert said.index("more are planned") < said.index("step 4 ")
    assert small.ROWS[0].completion not in said, "no training text on the screen"
    assert callback.overhead > 0


@pytest.mark.slow
def test_the_eval_data_set_is_the_floor_where_no_rows_are_named(tmp_path: Path) -> None:
    callback = AuditCallback(**SHORT)
    trainer = small.sft(tmp_path, callbacks=[callback], eval_records=small.UNSEEN)
    trainer.train()
    named = AuditCallback(heldout=small.UNSEEN, **SHORT)
    small.sft(tmp_path, callbacks=[named]).train()
    assert callback.curve[-1].heldout_loss == pytest.approx(named.curve[-1].heldout_loss, abs=1e-6)


@pytest.mark.slow
def test_packed_rows_are_probed_one_by_one(tmp_path: Path) -> None:
    callback = AuditCallback(**SHORT)
    small.sft(tmp_path, callbacks=[callback], packing=True, packing_strategy="bfd", max_length=64).train()
    plain = AuditCallback(**SHORT)
    small.sft(tmp_path, callbacks=[plain]).train()
    assert callback.curve[0].n == 8
    assert callback.curve[0].loss == pytest.approx(plain.curve[0].loss, abs=1e-5)


def test_memory_that_runs_out_halves_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    callback = AuditCallback(**SHORT)
    trainer = hf(tmp_path, [callback])
    real = module.facts_table

    def full(target: Any, *rest: Any) -> Any:
        if target.batch_tokens > 1024:
            raise torch.OutOfMemoryError("full")
        return real(target, *rest)

    monkeypatch.setattr(callback, "_warm_up", lambda model: None)
    monkeypatch.setattr(module, "facts_table", full)
    trainer.train()
    assert len(callback.curve) == 3 and callback._target is not None and callback._target.batch_tokens == 1024


@pytest.mark.slow
@pytest.mark.parametrize("config", [{"gradient_checkpointing": True}, {"bf16": True}, {"packing": True}])
def test_what_trl_does_by_default_or_on_a_gpu_is_no_hindrance(tmp_path: Path, config: dict[str, Any]) -> None:
    """Recomputed activations, autocast (the look is in bfloat16 too), packs: looks are taken, weights are equal."""
    runs: list[dict[str, torch.Tensor]] = []
    for callbacks in ([], [AuditCallback(heldout=small.UNSEEN, every=1, **SHORT)]):
        torch.manual_seed(3)
        trainer = small.sft(tmp_path / str(len(runs)), callbacks=callbacks, max_length=64, max_steps=3, **config)
        trainer.train()
        runs.append(weights(trainer.model))
    assert len(callbacks[0].curve) == 4 and callbacks[0].curve[-1].loss < callbacks[0].curve[0].loss
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_a_second_training_with_the_same_callback_begins_anew(tmp_path: Path) -> None:
    callback = AuditCallback(**SHORT)
    trainer = hf(tmp_path, [callback], num_train_epochs=2)
    trainer.train()
    trainer.train()
    assert [look.step for look in callback.curve] == [0, 4, 8]
    assert callback.curve[0].over_base == 0.0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"every": 0}, 'every= is "epoch" or a number of steps'),
        ({"stop_if": "excess is big"}, "write it like 'excess_low>0.05'"),
        ({"load_best": True}, "load_best= needs keep_best"),
        ({"base": "folder"}, "base= is one of start, disabled"),
        ({"sample": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(RemanenceError, match=words):
        AuditCallback(**wrong)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keep_best": 0.1}, "needs rows that are not trained on"),
        ({"stop_if": "excess>0.1"}, "needs rows that are not trained on"),
        ({"keep_best": 0.1, "heldout": small.UNSEEN[:1], "new_tokens": 12}, "no held-out row has 12 tokens in a row"),
        ({"new_tokens": 500}, "None of the 8 probe rows has 500 tokens in a row"),
        ({"base": "disabled"}, "has no adapter"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_first_step(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    trainer = hf(tmp_path, [AuditCallback(**{**SHORT, **settings})])
    with pytest.raises(RemanenceError, match=words):
        trainer.train()
    assert trainer.state.global_step == 0
