"""The fate of rows, worked out by hand on sequences of a few tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.core.table import Rendered
from remanence.jobs.preflight.fed import Fed, one_fed
from remanence.jobs.preflight.rows import Fate, Haystack, fate, letters


def sequence(ids: list[int], lengths: tuple[int, ...] | None = None, learned: list[bool] | None = None) -> Fed:
    mask = np.array(learned if learned is not None else [True] * len(ids))
    return Fed(0, np.array(ids, np.int32), mask, lengths or (len(ids),), None, None, None)


def row(ids: list[int], learned: list[bool] | None = None) -> Rendered:
    return Rendered(np.array(ids, np.int32), np.array(learned if learned is not None else [True] * len(ids)))


def test_whole_cut_and_left_out() -> None:
    """Fed: [1 2 3] and [4 5 6], cut at three. The row 4 5 6 7 8 has lost two of its tokens; 9 9 is nowhere."""
    hay = Haystack([sequence([1, 2, 3]), sequence([4, 5, 6])], whole_packs=False)
    assert fate("a", row([1, 2, 3]), hay) == Fate("a", 3, 3, 2, 0, 1), "the first token is never predicted"
    assert fate("b", row([4, 5, 6, 7, 8]), hay) == Fate("b", 5, 3, 2, 2, 1)
    assert fate("c", row([9, 9]), hay) == Fate("c", 2, 0, 0, 1, 0)


def test_a_row_inside_another_is_not_that_row() -> None:
    hay = Haystack([sequence([1, 2, 3, 4])], whole_packs=False)
    assert fate("a", row([2, 3]), hay).parts == 0
    assert fate("a", row([2, 3]), Haystack([sequence([1, 2, 3, 4])], whole_packs=True)).parts == 1


def test_a_pack_of_known_rows_is_read_piece_by_piece() -> None:
    hay = Haystack([sequence([1, 2, 3, 4, 5], lengths=(2, 3))], whole_packs=False)
    assert [fate("", row(ids), hay).parts for ids in ([1, 2], [3, 4, 5], [2, 3])] == [1, 1, 0]


def test_a_row_split_over_packs_is_counted_in_parts_with_what_each_learns() -> None:
    """Packs of four filled end to end: 1 2 3 | 4 5 6 | 7 8 -> [1 2 3 4] [5 6 7 8]; the row 4 5 6 is in two."""
    hay = Haystack([sequence([1, 2, 3, 4]), sequence([5, 6, 7, 8])], whole_packs=True)
    assert [fate("", row(ids), hay).parts for ids in ([1, 2, 3], [4, 5, 6], [7, 8])] == [1, 2, 1]
    assert fate("", row([4, 5, 6]), hay).learned == 2, "4 and 6: nothing predicts the first token of a pack"
    assert fate("", row([4, 5, 99]), hay).parts == 0


def test_chance_hits_of_single_tokens_do_not_make_up_a_row() -> None:
    hay = Haystack([sequence([1, 2, 3, 4])], whole_packs=True)
    assert fate("", row([4, 3, 2, 1]), hay).parts == 0


def test_the_end_may_be_what_is_kept() -> None:
    hay = Haystack([sequence([3, 4, 5])], whole_packs=False)
    found = fate("", row([1, 2, 3, 4, 5]), hay)
    assert found == Fate("", 5, 3, 2, 2, 1), "1 is never predicted, 2 is cut, 3 has lost what predicts it"


def test_pieces_of_a_row_that_is_too_long_are_found_apart() -> None:
    """Five tokens in chunks of two: `bfd_split`."""
    # padding-free collators leave no loss on a first token
    packed = sequence([5, 3, 4], lengths=(1, 2), learned=[False, False, True])
    hay = Haystack([sequence([1, 2]), packed], whole_packs=False)
    assert fate("", row([1, 2, 3, 4, 5]), hay)[2:] == (5, 2, 2, 3), "3 and 5 have lost what would predict them"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.lists(st.integers(0, 3), min_size=1, max_size=24))
def test_cover_takes_the_fewest_stretches(wanted: list[int], stream: list[int]) -> None:
    """Slow twin: every cut of the row tried."""
    packs = [stream[at : at + 4] for at in range(0, len(stream), 4)]
    found = Haystack([sequence(pack) for pack in packs], whole_packs=True).cover(letters(np.array(wanted, np.int32)))
    least = [0.0] + [float("inf")] * len(wanted)
    for end in range(1, len(wanted) + 1):
        for start in range(end):
            part = wanted[start:end]
            if any(part == pack[i : i + len(part)] for pack in packs for i in range(len(pack))):
                least[end] = min(least[end], least[start] + 1)
    assert (len(found) or float("inf")) == least[-1]
    assert sum(size for _, size in found) == (len(wanted) if found else 0)


def test_ids_of_any_size_are_letters_of_their_own() -> None:
    ids = np.array([0, 54_000, 55_295, 55_296, 57_343, 262_143], np.int32)
    assert len(set(letters(ids))) == 6 and "\0" not in letters(ids)


def test_what_the_collator_masks_and_pads_is_told_apart() -> None:
    import torch

    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0]]),
        "labels": torch.tensor([[-100, 6, -100, -100]]),
    }
    found = one_fed(3, {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, batch, seq2seq=False)
    assert (found.place, found.ids.tolist(), found.learned.tolist()) == (3, [5, 6, 7], [False, True, False])
    assert found.wanted is not None and found.wanted.tolist() == [False, True, True]


@pytest.mark.parametrize(("positions", "restarts"), [([0, 1, 0, 1, 2], True), ([0, 1, 2, 3, 4], False)])
def test_position_ids_tell_where_rows_begin(positions: list[int], restarts: bool) -> None:
    import torch

    batch = {"input_ids": torch.tensor([[1, 2, 3, 4, 5]]), "labels": torch.tensor([[1, 2, 3, 4, 5]])}
    batch["position_ids"] = torch.tensor([positions])
    item = {"input_ids": [1, 2, 3, 4, 5], "seq_lengths": [2, 3]}
    found = one_fed(0, item, batch, seq2seq=False)
    assert found.lengths == (2, 3) and found.restarts is restarts
