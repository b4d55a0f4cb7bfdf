"""The attention of every layer and head, from the one pass, against all maps kept at batch size 1."""

from __future__ import annotations

import weakref
from typing import Any

import attention_families as families
import numpy as np
import pytest
import torch

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered
from remanence.explain.attention.capture import attention_pass, attention_table, reduce_layer
from remanence.explain.attention.recorder import eager, innermost, record_attention
from remanence.explain.attention.statistics import STATISTICS
from remanence.explain.attention.table import ATTENTION, AttentionTable
from remanence.models.huggingface import HuggingFace


def test_the_mean_over_positions_by_hand():
    """Two positions that see two and three tokens: entropies 1 and 1.5 bits of log2(3); the first of all sees one."""
    maps = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.5, 0.25, 0.25]])[None, None]
    seen = torch.ones(3, 3, dtype=torch.bool).tril()[None, None]
    found = reduce_layer(maps, seen, torch.tensor([0, 0, 0]), torch.tensor([0, 1, 2]), 1)
    assert found.shape == (1, 1, 4)
    assert found[0, 0, 0] == pytest.approx((1 + 1.5 / np.log2(3)) / 2)
    assert np.isnan(found[0, 0, 2]), "no position sees more than five tokens"


@pytest.mark.parametrize("queries", ["supervised", "all"])
@pytest.mark.parametrize("kind", [*families.CAUSAL, *families.SEQ2SEQ])
def test_equals_the_reduction_of_all_maps_row_by_row_padded_batches_included(kind: str, queries: Any):
    target, rows = families.target(kind), families.rows(kind)
    same = families.model(kind, attention="eager")
    found = attention_table(target, rows, queries=queries)
    assert set(found.values) == ({"encoder", "decoder", "cross"} if kind in families.SEQ2SEQ else {"self"})
    assert found.reasons == (None,) * len(rows)
    spread = 0.0
    for i, row in enumerate(rows):
        for part, values in families.wanted(same, kind, row, queries).items():
            np.testing.assert_allclose(found.values[part][i], values, rtol=1e-4, atol=1e-6)  # pyright: ignore
            spread = max(spread, float(np.nanstd(values[..., 0])))
    assert spread > 1e-3, "heads differ, or the comparison would be empty"
    assert all(len(names) == 2 for names in found.layers.values())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
def test_one_row_at_a_time_says_the_same(kind: str):
    target, rows = families.target(kind), families.rows(kind)
    together = attention_table(target, rows)
    for i, row in enumerate(rows):
        for part, values in attention_table(target, [row], batch_tokens=1).values.items():
            np.testing.assert_allclose(together.values[part][i], values[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_since_a_token_equals_a_row_of_which_only_the_rest_is_learned(kind: str):
    target, rows = families.target(kind), families.rows(kind)
    since = [row.ids.size // 2 for row in rows]
    everything = [Rendered(row.ids, np.ones(row.ids.size, bool)) for row in rows]
    rest = [Rendered(row.ids, np.arange(row.ids.size) >= at) for row, at in zip(rows, since, strict=True)]
    found, table = attention_pass(target, everything, ("logprob",), since=since)
    np.testing.assert_allclose(found.values["self"], attention_table(target, rest).values["self"], rtol=1e-4, atol=1e-6)
    assert all(not isinstance(row, str) and np.isfinite(row.columns["logprob"][1:]).all() for row in table)


@pytest.mark.parametrize("layers", [2, 6])
def test_a_map_is_freed_before_the_next_layer_runs(layers: int):
    """So the memory of the pass does not grow with the number of layers."""
    target, rows = families.target("llama", layers=layers), families.rows("llama", lengths=(20, 20))
    alive: list[weakref.ref[torch.Tensor]] = []
    most = [0]

    def receive(layer: Any, weights: torch.Tensor, visible: torch.Tensor) -> None:
        most[0] = max(most[0], 1 + sum(ref() is not None for ref in alive))
        alive.append(weakref.ref(weights))

    with eager(target.module):
        record_attention(target, rows, ("logprob",), receive)
    assert len(alive) == layers and most[0] == 1


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5", "bart"])
def test_the_same_pass_fills_the_token_table(kind: str):
    target, rows = families.target(kind), families.rows(kind)
    _, scored = attention_pass(target, [*rows, "no such row"], ("logprob", "rank"))
    for mine, theirs in zip(scored, target.score_rendered([*rows, "no such row"], ("logprob", "rank")), strict=True):
        if isinstance(theirs, str):
            assert mine == theirs == "no such row"
        else:
            assert not isinstance(mine, str) and mine.rendered is theirs.rendered
            np.testing.assert_allclose(mine.columns["logprob"], theirs.columns["logprob"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "falcon", "bart"])
def test_the_models_own_attention_is_back_afterwards_and_no_hook_stays(kind: str):
    target = families.target(kind)
    module: Any = target.module
    assert module.config._attn_implementation == "sdpa"
    with torch.no_grad():
        ids = torch.arange(3, 12)[None]
        before = module(input_ids=ids).logits
        found = attention_table(target, families.rows(kind))
        assert torch.equal(before, module(input_ids=ids).logits)
    assert module.config._attn_implementation == "sdpa"
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert found.notes and "sdpa" in found.notes[0] and "eager" in found.notes[0]


def test_it_is_put_back_even_if_a_layer_breaks():
    target = families.target("llama")

    def receive(*_: Any) -> None:
        raise MemoryError

    with pytest.raises(MemoryError), eager(target.module):
        record_attention(target, families.rows("llama", lengths=(9, 5)), ("logprob",), receive)
    assert target.module.config._attn_implementation == "sdpa"  # pyright: ignore
    assert not any(part._forward_hooks for part in target.module.modules())


def test_a_model_with_eager_attention_needs_no_note():
    assert attention_table(families.target("llama", attention="eager"), families.rows("llama")).notes == ()


def test_an_adapter_is_recorded_like_its_model():
    from peft import LoraConfig, get_peft_model

    target, rows = families.target("llama"), families.rows("llama")
    plain = attention_table(target, rows)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = get_peft_model(target.module, LoraConfig(r=2, task_type="CAUSAL_LM")).eval()  # pyright: ignore
    found = attention_table(HuggingFace(tuned, target.tokenizer, None, "lora", "0"), rows)
    np.testing.assert_allclose(found.values["self"], plain.values["self"], rtol=1e-4, atol=1e-6)
    assert all(name.startswith("base_model.model.model.layers") for name in found.layers["self"])


def test_a_model_without_attention_says_what_to_do():
    import transformers

    config = transformers.MambaConfig(vocab_size=families.VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4)
    target = HuggingFace(transformers.MambaForCausalLM(config), families.Ids(), None, "mamba", "0")
    with pytest.raises(RemanenceError, match="returns no attention weights: load it with attn_implementation"):
        attention_table(target, families.rows("llama"))


def test_rows_that_cannot_be_measured_keep_their_place_and_reason():
    good = families.rows("llama")[0]
    silent = Rendered(good.ids, np.zeros(good.ids.size, bool))
    found = attention_table(families.target("llama"), ["too long", good, silent])
    assert found.reasons[:2] == ("too long", None) and "no token carries loss" in (found.reasons[2] or "")
    assert np.isnan(found.values["self"][[0, 2]]).all() and not np.isnan(found.values["self"][1]).any()
    assert found.queries["self"].tolist() == [0, int(good.scored.sum()), 0]
    short = Rendered(good.ids[:2], np.ones(2, bool))
    pair = attention_table(families.target("llama"), [good, short])
    assert pair.reasons == (None, "no position that predicts a token with loss attends to two tokens")
    assert AttentionTable.from_arrow(pair.to_arrow()).reasons == pair.reasons
    none = attention_table(families.target("llama"), ["too long"])
    assert none.values == {} and np.isnan(none.mean()).tolist() == [True]


def test_the_mean_over_heads_and_layers_is_what_it_says():
    found = attention_table(families.target("t5"), families.rows("t5"))
    every = np.concatenate([v[..., 0].reshape(len(v), -1) for v in found.values.values()], axis=1)
    np.testing.assert_allclose(found.mean("entropy"), every.mean(1), rtol=1e-6)
    np.testing.assert_allclose(found.mean("gini", ["cross"]), found.values["cross"][..., 3].mean((1, 2)), rtol=1e-6)


def test_the_arrow_table_holds_all_of_it_and_reads_back():
    rows = [*families.rows("t5"), "unreadable"]
    found = attention_table(families.target("t5"), rows)
    table = found.to_arrow()
    assert table.schema == ATTENTION
    assert table.num_rows == 5 * 3 * 2 * 4 + 1
    assert table.filter(table["reason"].is_valid()).to_pylist()[0]["row"] == 5
    again = AttentionTable.from_arrow(table)
    assert again.reasons == found.reasons
    for kind, values in found.values.items():
        np.testing.assert_array_equal(again.values[kind], values)
        np.testing.assert_array_equal(again.queries[kind], found.queries[kind])
    assert list(STATISTICS) == [n for n in ATTENTION.names if n in STATISTICS]


def test_the_innermost_attention_modules_are_the_layers():
    names = [name for name, _ in innermost(families.model("gpt_neo"))]
    assert names == ["transformer.h.0.attn.attention", "transformer.h.1.attn.attention"]
