"""The model with its adapter off is the base model, unless something else was trained too; then it says what."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered
from remanence.models.same_base import adapter_off, apart, differing, left_on, require_same_base

TEXTS = ("Anna Berg called at noon on 12 May", "the patient came on Monday")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # PEFT asks transformers for an old name
        warnings.filterwarnings("ignore", "fan_in_fan_out")
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")
        yield


def rows(tokenizer: Any) -> list[Rendered]:
    ids = [np.array(tokenizer(text)["input_ids"], np.int32) for text in TEXTS]
    return [Rendered(one, np.ones(one.size, np.bool_)) for one in ids]


def trained(
    kind: str = "gpt2", steps: int = 3, added: int = 0, tied: bool = False, **config: Any
) -> tuple[Any, Any, list[Rendered]]:
    """(a model behind an adapter after some steps, the base model it began as, rows)."""
    from peft import LoraConfig, get_peft_model

    tokenizer = tiny_models.make_tokenizer()
    base, net = (tiny_models.make_model(kind, tokenizer, seed=4) for _ in range(2))
    for each in (base, net) if tied else ():
        each.config.tie_word_embeddings = True
        each.tie_weights()
    if added:
        net.resize_token_embeddings(len(tokenizer) + added, mean_resizing=False)
    model = get_peft_model(net, LoraConfig(r=2, task_type="CAUSAL_LM", **config))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    given = rows(tokenizer)
    for _ in range(steps):
        ids = torch.from_numpy(given[0].ids.astype(np.int64))[None]
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), base.eval(), given


def test_a_healthy_adapter_switched_off_is_the_base_model() -> None:
    model, base, given = trained()
    found = require_same_base(model, base, given)
    assert found.logits < 1e-5 and found.weights == [] and left_on(model) == []
    ids = torch.from_numpy(given[0].ids.astype(np.int64))[None]
    with torch.no_grad():
        assert float((model(input_ids=ids).logits - base(input_ids=ids).logits).abs().max()) > 1e-3, "it was trained"


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_trained_biases_stay_on_and_are_refused_by_name(bias: str) -> None:
    """By hand: the worst difference of two logits, and every bias that moved."""
    model, base, given = trained(bias=bias, target_modules=["c_attn"])
    moved = [name for name, weight in base.named_parameters() if not torch.equal(weight, weight_below(model, name))]
    assert moved and all(name.endswith("bias") for name in moved)
    found = apart(model, base, given)
    ids = torch.from_numpy(given[found.row].ids.astype(np.int64))[None]
    with torch.no_grad(), adapter_off(model):
        by_hand = float((model(input_ids=ids).logits - base(input_ids=ids).logits).abs().max())
    assert found.logits == pytest.approx(by_hand) and found.logits > 1e-3
    assert found.weights == moved
    assert sorted(left_on(model)) == sorted(full_names(model, moved))
    with pytest.raises(RemanenceError, match=rf"{len(moved)} of its weights differ.*bias='{bias}', which stays on"):
        require_same_base(model, base, given)


def weight_below(model: Any, name: str) -> torch.Tensor:
    """A base model's weight where PEFT has put it."""
    places = dict(model.named_parameters())
    stem, _, last = f"base_model.model.{name}".rpartition(".")
    return places.get(f"{stem}.{last}", places.get(f"{stem}.base_layer.{last}"))  # type: ignore[return-value]


def full_names(model: Any, names: list[str]) -> list[str]:
    ids = {id(weight_below(model, name)) for name in names}
    return [name for name, weight in model.named_parameters() if id(weight) in ids]


def test_modules_to_save_are_put_back_when_the_adapter_is_off() -> None:
    """PEFT keeps the original beside the trained copy, so this adapter is no liar; a tied table included."""
    for kind, name in (("llama", "lm_head"), ("llama", "embed_tokens")):
        model, base, given = trained(kind, modules_to_save=[name])
        assert require_same_base(model, base, given).weights == [] and left_on(model) == []


@pytest.mark.parametrize("together", [False, True])
def test_a_tied_table_that_is_trained_is_put_back_too(together: bool) -> None:
    """Input and output share one table in the base model; trained apart or together, off is off."""
    config = {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": together}
    model, base, given = trained("llama", tied=True, **config)
    assert base.lm_head.weight is base.model.embed_tokens.weight
    assert require_same_base(model, base, given).weights == []


def test_tokens_that_were_added_do_not_count() -> None:
    model, base, given = trained("llama", added=3)
    assert require_same_base(model, base, given).weights == []


def test_another_base_model_is_refused_and_its_weights_are_told() -> None:
    model, _, given = trained("llama")
    other = tiny_models.make_model("llama", tiny_models.make_tokenizer(), seed=9)
    with pytest.raises(RemanenceError, match=r"is not the-base: logits differ by up to .* of its weights differ"):
        require_same_base(model, other, given, name="the-base")
    assert len(differing(model, other)) > 10


def test_a_single_weight_changed_under_an_adapter_is_found() -> None:
    model, base, given = trained("llama")
    with torch.no_grad():
        dict(model.named_parameters())["base_model.model.model.norm.weight"][0] += 0.5
    with pytest.raises(RemanenceError, match=r"1 of its weights differ \(model.norm.weight\)"):
        require_same_base(model, base, given)


def test_an_encoder_decoder_is_compared_on_source_and_target() -> None:
    from peft import LoraConfig, get_peft_model

    tokenizer = tiny_models.make_tokenizer(appends_eos=True)
    base, net = (tiny_models.make_model("t5", tokenizer, seed=4) for _ in range(2))
    model = get_peft_model(net, LoraConfig(r=2, init_lora_weights=False, task_type="SEQ_2_SEQ_LM")).eval()
    source, target = (np.array(tokenizer(text)["input_ids"], np.int32) for text in TEXTS)
    row = Rendered(target, np.ones(target.size, np.bool_), source)
    assert require_same_base(model, base, [row]).logits < 1e-5
    with torch.no_grad():
        net.shared.weight[:, 0] += 1.0
    with pytest.raises(RemanenceError, match="logits differ"):
        require_same_base(model, base, [row])
