"""The map of one row, with the tokens it is about."""

from __future__ import annotations

import attention_families as families
import numpy as np
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered
from remanence.explain.attention.maps import attention_map, attention_maps


@pytest.mark.parametrize("length", [5, 14])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5", "bart"])
def test_a_map_is_that_of_the_model(kind: str, length: int):
    target, row = families.target(kind), families.rows(kind, lengths=(length,))[0]
    every = families.maps(families.model(kind, attention="eager"), row)
    for part, layers in every.items():
        whole = np.stack(layers)
        asked = [(part, None, None), (part, 1, None), (part, None, 2), (part, -1, 3)]
        wanted = [whole.mean((0, 1)), whole[1].mean(0), whole[:, 2].mean(0), whole[-1, 3]]
        for found, maps in zip(attention_maps(target, row, asked), wanted, strict=True):  # pyright: ignore
            maps = maps[:-1, :-1] if part == "self" else maps
            seen = ~np.isnan(found.weights)
            assert found.weights.shape == maps.shape == (len(found.says), len(found.sees))
            np.testing.assert_allclose(found.weights[seen], maps[seen], rtol=1e-4, atol=1e-6)
            assert not maps[~seen].any(), "what is not shown may not be looked at"
        last = attention_map(target, row, part, -1, -2)  # pyright: ignore
        assert (last.layer, last.head) == (1, 2), "counted from the end, told from the start"


def test_every_position_stands_beside_the_token_it_is_about_to_say():
    row = Rendered(np.array([5, 6, 7, 8], np.int32), np.array([False, False, True, True]))
    found = attention_map(families.target("llama"), row)
    assert (found.says, found.sees) == (("6", "7", "8"), ("5", "6", "7"))
    assert found.learned.tolist() == [False, True, True] and found.kind == "self"
    assert np.isnan(found.weights).tolist() == [[False, True, True], [False, False, True], [False] * 3]
    np.testing.assert_allclose(np.nansum(found.weights, axis=1), 1, rtol=1e-5)


def test_of_an_encoder_decoder_the_look_into_the_source_is_shown():
    row = Rendered(np.array([5, 6], np.int32), np.array([True, True]), np.array([9, 10, 1], np.int32))
    target = families.target("t5")
    cross, decoder, encoder = attention_maps(target, row, [(k, None, None) for k in (None, "decoder", "encoder")])  # pyright: ignore
    assert (cross.kind, cross.says, cross.sees) == ("cross", ("5", "6"), ("9", "10", "1"))
    assert decoder.sees == ("(start)", "5") and encoder.says == encoder.sees == ("9", "10", "1")
    assert cross.learned.all() and not encoder.learned.any()


def test_a_missing_layer_or_head_is_an_error():
    target, row = families.target("llama"), families.rows("llama")[0]
    with pytest.raises(RemanenceError, match="llama has no cross attention: it has self"):
        attention_map(target, row, "cross")
    with pytest.raises(RemanenceError, match="2 self layers, counted from 0; 2 does not exist"):
        attention_map(target, row, layer=2)
    with pytest.raises(RemanenceError, match="4 heads, counted from 0; 9 does not exist"):
        attention_map(target, row, head=9)
    assert target.module.config._attn_implementation == "sdpa"  # pyright: ignore
