"""The status of rows, worked out by hand on sequences of a few tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.table import Rendered
from remanence.jobs.preflight.row_status import RowStatus, TokenIndex, as_text, row_status
from remanence.jobs.preflight.sequences import CollatedSequence, collated_sequence


def sequence(
    ids: list[int], lengths: tuple[int, ...] | None = None, learned: list[bool] | None = None
) -> CollatedSequence:
    mask = np.array(learned if learned is not None else [True] * len(ids))
    return CollatedSequence(0, np.array(ids, np.int32), mask, lengths or (len(ids),), None, None, None)


def row(ids: list[int], learned: list[bool] | None = None) -> Rendered:
    return Rendered(np.array(ids, np.int32), np.array(learned if learned is not None else [True] * len(ids)))


def test_whole_cut_and_left_out() -> None:
    """The model receives [1 2 3] and [4 5 6], cut at three. The row 4 5 6 7 8 has lost two tokens; 9 9 is absent."""
    index = TokenIndex([sequence([1, 2, 3]), sequence([4, 5, 6])], crosses_rows=False)
    assert row_status("a", row([1, 2, 3]), index) == RowStatus("a", 3, 3, 2, 0, 1), "the first token is never predicted"
    assert row_status("b", row([4, 5, 6, 7, 8]), index) == RowStatus("b", 5, 3, 2, 2, 1)
    assert row_status("c", row([9, 9]), index) == RowStatus("c", 2, 0, 0, 1, 0)


def test_a_row_inside_another_is_not_that_row() -> None:
    index = TokenIndex([sequence([1, 2, 3, 4])], crosses_rows=False)
    assert row_status("a", row([2, 3]), index).parts == 0
    assert row_status("a", row([2, 3]), TokenIndex([sequence([1, 2, 3, 4])], crosses_rows=True)).parts == 1


def test_a_pack_of_known_rows_is_read_piece_by_piece() -> None:
    index = TokenIndex([sequence([1, 2, 3, 4, 5], lengths=(2, 3))], crosses_rows=False)
    assert [row_status("", row(ids), index).parts for ids in ([1, 2], [3, 4, 5], [2, 3])] == [1, 1, 0]


def test_a_row_split_over_packs_is_counted_in_parts_with_what_each_learns() -> None:
    """Packs of four filled end to end: 1 2 3 | 4 5 6 | 7 8 -> [1 2 3 4] [5 6 7 8]; the row 4 5 6 is in two."""
    index = TokenIndex([sequence([1, 2, 3, 4]), sequence([5, 6, 7, 8])], crosses_rows=True)
    assert [row_status("", row(ids), index).parts for ids in ([1, 2, 3], [4, 5, 6], [7, 8])] == [1, 2, 1]
    assert row_status("", row([4, 5, 6]), index).learned == 2, "4 and 6: nothing predicts the first token of a pack"
    assert row_status("", row([4, 5, 99]), index).parts == 0


def test_chance_matches_of_single_tokens_do_not_make_up_a_row() -> None:
    index = TokenIndex([sequence([1, 2, 3, 4])], crosses_rows=True)
    assert row_status("", row([4, 3, 2, 1]), index).parts == 0


def test_truncation_may_keep_the_end() -> None:
    index = TokenIndex([sequence([3, 4, 5])], crosses_rows=False)
    found = row_status("", row([1, 2, 3, 4, 5]), index)
    assert found == RowStatus("", 5, 3, 2, 2, 1), "1 is never predicted, 2 is cut, 3 has lost what predicts it"


def test_pieces_of_a_row_that_is_too_long_are_found_separately() -> None:
    """Five tokens in chunks of two: `bfd_split`."""
    # padding-free collators leave no loss on a first token
    packed = sequence([5, 3, 4], lengths=(1, 2), learned=[False, False, True])
    index = TokenIndex([sequence([1, 2]), packed], crosses_rows=False)
    assert row_status("", row([1, 2, 3, 4, 5]), index)[2:] == (5, 2, 2, 3), "3 and 5 have lost what would predict them"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.lists(st.integers(0, 3), min_size=1, max_size=24))
def test_cover_takes_the_fewest_stretches(wanted: list[int], stream: list[int]) -> None:
    """Slow twin: every cut of the row tried."""
    packs = [stream[at : at + 4] for at in range(0, len(stream), 4)]
    found = TokenIndex([sequence(pack) for pack in packs], crosses_rows=True).cover(as_text(np.array(wanted, np.int32)))
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
    assert len(set(as_text(ids))) == 6 and "\0" not in as_text(ids)


def test_masked_and_padded_tokens_are_distinguished() -> None:
    import torch

    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 0]]),
        "labels": torch.tensor([[-100, 6, -100, -100]]),
    }
    found = collated_sequence(3, {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, batch, seq2seq=False)
    assert (found.place, found.ids.tolist(), found.learned.tolist()) == (3, [5, 6, 7], [False, True, False])
    assert found.requested is not None and found.requested.tolist() == [False, True, True]


@pytest.mark.parametrize(("positions", "restarts"), [([0, 1, 0, 1, 2], True), ([0, 1, 2, 3, 4], False)])
def test_position_ids_show_where_rows_begin(positions: list[int], restarts: bool) -> None:
    import torch

    batch = {"input_ids": torch.tensor([[1, 2, 3, 4, 5]]), "labels": torch.tensor([[1, 2, 3, 4, 5]])}
    batch["position_ids"] = torch.tensor([positions])
    item = {"input_ids": [1, 2, 3, 4, 5], "seq_lengths": [2, 3]}
    found = collated_sequence(0, item, batch, seq2seq=False)
    assert found.lengths == (2, 3) and found.positions_restart is restarts
