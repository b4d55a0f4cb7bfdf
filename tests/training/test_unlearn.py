"""The loop of unlearning: Trainer steps on pairs of batches, the start without a second model, looks on the way."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.training.reference import ReferenceModel, select_trainable, set_trainable, trainable_state
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import row_nll, sequence_nll
from remanence.training.tiny import tiny_gpt2
from remanence.training.unlearn import ForgetRetain, UnlearnSettings, UnlearnTrainer, unlearn

torch.set_num_threads(1)


def rows(n: int, seed: int, length: int = 12, vocab: int = 64) -> list[Row]:
    ids = torch.randint(1, vocab, (n, length), generator=torch.Generator().manual_seed(seed)).tolist()
    return [Row(x, [-100] * 3 + x[3:]) for x in ids]


class Tokenizer:
    pad_token_id = 0
    eos_token_id = None


FORGET, RETAIN = rows(6, 1), rows(9, 2)
COLLATE = plain_collator(Tokenizer())


def learn_forget_rows(model: Any, forget: Any, retain: Any, start: ReferenceModel) -> torch.Tensor:
    nll = sequence_nll(model, forget)
    return nll.sum_B.sum() / nll.tokens_B.sum()


def ascend(model: Any, forget: Any, retain: Any, start: ReferenceModel) -> torch.Tensor:
    return -learn_forget_rows(model, forget, retain, start)


@pytest.fixture
def model() -> Any:
    return tiny_gpt2("small", vocab=64).requires_grad_(False)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> list[str]:
    return [name for name in one if torch.equal(one[name], two[name])]


def test_the_loss_of_a_row_by_hand():
    """Two rows, three tokens of two kinds; one label carries no loss. p = 1/2 costs log 2, p = 3/4 costs log 4/3."""
    even, sure = torch.zeros(2), torch.tensor([torch.log(torch.tensor(3.0)), 0.0])
    nll = row_nll(
        torch.stack([torch.stack([even, sure, even]), torch.stack([sure, even, even])]),
        torch.tensor([[0, 0, -100], [1, 1, 0]]),
    )
    assert nll.tokens_B.tolist() == [2, 3]
    assert nll.sum_B.tolist() == pytest.approx([0.693147 + 0.287682, 1.386294 + 2 * 0.693147], abs=1e-5)


def test_rows_one_by_one_have_the_models_own_loss(model: Any):
    batch = COLLATE([*FORGET, *rows(2, 3, length=7)])
    nll = sequence_nll(model, batch)
    for i in range(8):
        width = int(batch["attention_mask"][i].sum())
        ids, labels = batch["input_ids"][i : i + 1, :width], batch["labels"][i : i + 1, :width]
        assert float(model(input_ids=ids, labels=labels).loss) == pytest.approx(
            float(nll.sum_B[i] / nll.tokens_B[i]), rel=1e-5
        )


def test_an_encoder_decoders_loss_is_not_moved():
    t5 = tiny_models.make_model("t5", tiny_models.make_tokenizer()).requires_grad_(False)
    batch = COLLATE([Row([5, 6, 7], [8, 9, 10]), Row([5], [8])])
    nll = sequence_nll(t5, batch)
    assert nll.tokens_B.tolist() == [3, 1]
    assert float(t5(**batch).loss) == pytest.approx(float(nll.sum_B.sum() / 4), rel=1e-5)


@pytest.mark.parametrize(("size", "accumulate"), [(6, 1), (3, 2)])
def test_one_step_is_the_step_of_a_loop_written_by_hand(model: Any, size: int, accumulate: int):
    by_hand = copy.deepcopy(model).requires_grad_(True)
    batch = COLLATE(FORGET)
    logits = by_hand(input_ids=batch["input_ids"]).logits[:, :-1]
    (-F.cross_entropy(logits.transpose(1, 2), batch["labels"][:, 1:])).backward()
    settings = UnlearnSettings(0.1, steps=1, batch_size=size, accumulate=accumulate, optimizer="sgd", max_grad_norm=0)
    assert unlearn(model, Tokenizer(), FORGET, RETAIN, ascend, settings) == 1
    for name, weight in by_hand.named_parameters():
        assert torch.allclose(dict(model.named_parameters())[name], weight - 0.1 * weight.grad, atol=1e-6), name


def test_same_seed_same_bytes_and_another_seed_others(model: Any):
    ended = []
    for seed in (0, 0, 1):
        live = copy.deepcopy(model)
        unlearn(live, Tokenizer(), FORGET, RETAIN, learn_forget_rows, UnlearnSettings(steps=4, batch_size=2, seed=seed))
        ended.append(weights(live))
    assert len(same(ended[0], ended[1])) == len(ended[0])
    assert len(same(ended[0], ended[2])) < len(ended[0])


def test_forget_rows_anchor_the_epoch_and_retain_rows_take_turns():
    pairs = ForgetRetain(FORGET, RETAIN, seed=3)
    drawn = [pairs[i % 6].retain for i in range(18)]
    assert len(pairs) == 6
    for part in (drawn[:9], drawn[9:]):  # every retain row once before any comes again
        assert sorted(RETAIN.index(row) for row in part) == list(range(9))
    assert drawn[:9] != drawn[9:]
    assert ForgetRetain(FORGET)[0].retain is None


def test_the_stop_callback_is_called_before_during_and_after(model: Any):
    looks: list[float] = []

    def stop(strength: float, live: Any) -> bool:
        assert not live.training and not torch.is_grad_enabled()
        torch.rand(3)
        looks.append(strength)
        return False

    settings = UnlearnSettings(steps=7, check_every=3, batch_size=2)
    watched, unwatched = copy.deepcopy(model), copy.deepcopy(model)
    assert unlearn(watched, Tokenizer(), FORGET, RETAIN, ascend, settings, stop=stop) == 7
    assert looks == [0, 3, 6, 7]
    unlearn(unwatched, Tokenizer(), FORGET, RETAIN, ascend, settings)
    assert len(same(weights(watched), weights(unwatched))) == len(weights(model))


def test_the_stop_callback_may_stop_at_once_or_later(model: Any):
    before = weights(model)
    assert unlearn(model, Tokenizer(), FORGET, [], ascend, UnlearnSettings(), stop=lambda s, m: True) == 0
    assert len(same(before, weights(model))) == len(before)
    assert unlearn(model, Tokenizer(), FORGET, [], ascend, UnlearnSettings(), stop=lambda s, m: s >= 10) == 10


def test_the_model_is_left_as_frozen_as_it_came(model: Any):
    model.transformer.wpe.weight.requires_grad_(True)
    unlearn(model, Tokenizer(), FORGET, RETAIN, ascend, UnlearnSettings(steps=1))
    flags = {name: weight.requires_grad for name, weight in model.named_parameters()}
    assert [name for name, flag in flags.items() if flag] == ["transformer.wpe.weight"]
    assert not model.training and all(weight.grad is None for weight in model.parameters())


def test_only_the_weights_that_were_named_change(model: Any):
    before = weights(model)
    seen: list[bool] = []

    def after(live: Any) -> None:
        seen.append(torch.is_grad_enabled())
        live.transformer.h[1].mlp.c_proj.bias.zero_()

    model.transformer.h[1].mlp.c_proj.bias.fill_(1.0)
    settings = UnlearnSettings(steps=2)
    unlearn(model, Tokenizer(), FORGET, RETAIN, ascend, settings, parameters=r"h\.1\.mlp\.c_proj", after_step=after)
    changed = set(before) - set(same(before, weights(model)))
    assert changed == {"transformer.h.1.mlp.c_proj.weight"} and seen == [False, False]
    with pytest.raises(RemanenceError, match="No weight that may be trained is called 'nowhere'"):
        select_trainable(model, "nowhere")
    with pytest.raises(RemanenceError, match=r"called 'a\.b'"):
        select_trainable(model, ["a.b"])


def test_the_start_is_what_a_copy_of_the_model_says(model: Any):
    """Tied weights (GPT-2's input and output layer) included, dropout left out."""
    dropping = tiny_gpt2("small", vocab=64)
    dropping.transformer.drop.p = 0.5
    twin, start, batch = copy.deepcopy(dropping).eval(), ReferenceModel(dropping), COLLATE(FORGET)
    dropping.train()
    with torch.no_grad():
        for weight in dropping.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    now = sequence_nll(dropping.eval(), batch).sum_B
    dropping.train()
    then = sequence_nll(dropping, batch, start).sum_B
    assert dropping.training and not then.requires_grad
    assert torch.equal(then, sequence_nll(twin, batch).sum_B) and not torch.allclose(now, then)
    start.restore(dropping)
    assert len(same(weights(dropping), weights(twin))) == len(weights(twin))


@pytest.fixture
def adapter(tmp_path: Path) -> Any:
    from remanence.models.load import load_model

    base = tiny_models.save_model(tmp_path / "base", "llama")
    return load_model(tiny_models.save_adapter(tmp_path / "adapter", base)).model


def test_of_an_adapter_only_its_own_weights_change(adapter: Any):
    before = weights(adapter)
    start = ReferenceModel(adapter)
    assert list(start.values) == list(trainable_state(adapter)) and all("lora_" in name for name in start.values)
    assert not any(weight.requires_grad for weight in adapter.parameters())
    forget = rows(4, 1, vocab=200)
    then = sequence_nll(adapter, COLLATE(forget)).sum_B
    unlearn(adapter, Tokenizer(), forget, [], ascend, UnlearnSettings(steps=3, learning_rate=1e-2))
    kept = set(same(before, weights(adapter)))
    assert {name for name in before if "lora_" not in name} == kept
    assert type(adapter).__name__ == "PeftModelForCausalLM"
    assert not torch.allclose(sequence_nll(adapter, COLLATE(forget)).sum_B, then)
    assert torch.equal(sequence_nll(adapter, COLLATE(forget), start).sum_B, then)


def test_an_encoder_decoder_takes_the_same_loop():
    t5 = tiny_models.make_model("t5", tiny_models.make_tokenizer()).requires_grad_(False)
    pairs = [Row([5, 6, 7 + i], [20 + i, 30, 31]) for i in range(4)]
    before = float(sequence_nll(t5, COLLATE(pairs)).sum_B.mean())
    unlearn(t5, Tokenizer(), pairs, pairs, learn_forget_rows, UnlearnSettings(1e-2, steps=5, batch_size=4))
    assert float(sequence_nll(t5, COLLATE(pairs)).sum_B.mean()) < before - 1


def test_the_trainer_alone_with_arguments_people_know(model: Any, tmp_path: Path):
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=2, per_device_eval_batch_size=2,
        learning_rate=1e-2, report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True,
        dataloader_pin_memory=False, eval_strategy="epoch", logging_strategy="epoch",
    )  # fmt: skip
    set_trainable(model)
    trainer = UnlearnTrainer(
        model, arguments, Tokenizer(), FORGET, RETAIN, learn_forget_rows, eval_dataset=ForgetRetain(FORGET, RETAIN)
    )
    trainer.train()
    evaluated = [line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line]
    assert trainer.state.global_step == 6 and len(evaluated) == 2 and evaluated[1] < evaluated[0]
    model.eval().requires_grad_(False)
    batches = [COLLATE(FORGET[i : i + 2]) for i in (0, 2, 4)]
    by_hand = sum(float(learn_forget_rows(model, batch, None, trainer.reference)) for batch in batches)
    assert evaluated[1] == pytest.approx(by_hand / 3, rel=1e-5)


def test_a_checkpoint_of_the_trainer_is_taken_up_again(model: Any, tmp_path: Path):
    """The whole run, and a run that stops after two steps and goes on from its checkpoint, end alike."""
    from transformers import TrainingArguments

    def trainer(live: Any, steps: int) -> UnlearnTrainer:
        arguments = TrainingArguments(
            str(tmp_path), max_steps=steps, per_device_train_batch_size=6, learning_rate=1e-2, report_to=[],
            save_steps=2, disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False, optim="sgd",
            lr_scheduler_type="constant",
        )  # fmt: skip
        return UnlearnTrainer(live, arguments, Tokenizer(), FORGET, [], ascend)

    whole, taken_up = copy.deepcopy(model), copy.deepcopy(model)
    trainer(whole, 4).train()
    again = trainer(taken_up, 4)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert torch.equal(again.reference.values["transformer.wpe.weight"], model.transformer.wpe.weight)
    for name, weight in whole.named_parameters():
        assert torch.allclose(weight, dict(taken_up.named_parameters())[name], atol=1e-6), name


def test_what_cannot_be_is_refused(model: Any):
    with pytest.raises(RemanenceError, match="no rows to forget"):
        unlearn(model, Tokenizer(), [], RETAIN, ascend, UnlearnSettings())
    with pytest.raises(RemanenceError, match="steps= must be at least 1"):
        UnlearnSettings(steps=0)
    with pytest.raises(RemanenceError, match="learning_rate= must be above 0"):
        UnlearnSettings(learning_rate=0)
