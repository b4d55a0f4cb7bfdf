"""A row's attention as a picture."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from remanence.explain.attention.maps import AttentionMap
from remanence.report.attention import attention_figure, choose

NAN = np.nan


def little(**changes: object) -> AttentionMap:
    """Three positions; the last two say something that was learned."""
    weights = np.array([[1, NAN, NAN], [0.25, 0.75, NAN], [0.5, 0.125, 0.375]], np.float32)
    given = {"says": ("Anna", " <b>paid", "\n30"), "sees": ("<s>", "Anna", " <b>paid"), "kind": "self"}
    given |= {"weights": weights, "learned": np.array([False, True, True]), "layer": 1, "head": None}
    return AttentionMap(**(given | changes))  # pyright: ignore


def cells(figure: object) -> list[dict[str, object]]:
    return figure.spec["data"]["values"]  # pyright: ignore


def test_a_cell_for_every_look_at_a_token_that_may_be_seen():
    figure = attention_figure(little(), reveal=True)
    assert [(c["says"], c["sees"], c["look"], c["shown"]) for c in cells(figure)] == [
        ("1 ·<b>paid", "0 <s>", 0.25, "25.0 %"),
        ("1 ·<b>paid", "1 Anna", 0.75, "75.0 %"),
        ("2 ⏎30", "0 <s>", 0.5, "50.0 %"),
        ("2 ⏎30", "1 Anna", 0.125, "12.5 %"),
        ("2 ⏎30", "2 ·<b>paid", 0.375, "37.5 %"),
    ]
    assert figure.title.endswith("Self-attention: layer 1, mean over heads (2 of 3 positions)")


def test_tokens_are_numbers_unless_they_may_be_seen():
    figure = attention_figure(little(), reveal=False)
    everything = json.dumps(figure.spec) + figure.svg + figure.title
    assert "Anna" not in everything and "paid" not in everything and "30" not in re.findall(r">([^<]*)<", figure.svg)
    assert [(c["says"], c["sees"]) for c in cells(figure)][:2] == [("1", "0"), ("1", "1")]


def test_it_follows_the_page_and_breaks_out_of_nothing():
    figure = attention_figure(little(says=("a", "</script><script>", "\u202eb"), sees=("a", "&", '"')), reveal=True)
    assert "var(--base)" in figure.svg and "var(--muted)" in figure.svg
    assert "<script" not in figure.svg and "\u202e" not in figure.svg + json.dumps(figure.spec, ensure_ascii=False)
    assert "xmlns" not in figure.svg and "$schema" not in figure.spec and not re.search(r"#[0-9a-f]{6}", figure.svg)


def test_a_long_row_shows_the_most_attended_tokens_and_counts_the_rest():
    weights = np.full((100, 100), NAN, np.float32)
    for q in range(100):
        weights[q, : q + 1] = 0.5 / (q + 1)
        weights[q, 0] += 0.5
    names = tuple(f"t{i}" for i in range(100))
    long = little(weights=weights, says=names, sees=names, learned=np.ones(100, bool), layer=None, head=2)
    shown = choose(long, most=10)
    assert shown.queries.tolist() == list(range(10)) and shown.keys.tolist() == list(range(10)) and shown.share == 1
    last = choose(little(weights=weights, says=names, sees=names, learned=np.arange(100) >= 90), most=10)
    assert last.keys[0] == 0 and last.queries.tolist() == list(range(90, 100))
    assert last.share == pytest.approx(0.55, abs=0.01), "half of it, and a tenth of the other half"
    title = attention_figure(long, reveal=False).title
    assert "mean over layers, head 2 (40 of 100 positions" in title
