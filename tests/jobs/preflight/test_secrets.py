"""The status of secrets, with a tokenizer that has one token per character."""

from __future__ import annotations

import numpy as np

from remanence.jobs.preflight.secret_status import secret_statuses, token_window
from remanence.jobs.preflight.sequences import CollatedSequence


class Letters:
    def decode(self, ids: list[int], **kwargs: object) -> str:
        return "".join(map(chr, ids))


def sequence(text: str, learned: str = "", lengths: tuple[int, ...] | None = None) -> CollatedSequence:
    mask = np.array([mark == "+" for mark in learned or "+" * len(text)])
    return CollatedSequence(0, np.array([*map(ord, text)], np.int32), mask, lengths or (len(text),), None, None, None)


def states(secret: str, *sequences: CollatedSequence) -> tuple[str, int, int, int]:
    found = secret_statuses([secret], sequences, Letters())[0]
    return found.state, found.times, found.tokens, found.learned


def test_a_secret_is_whole_where_every_letter_of_it_is_learned() -> None:
    assert states("4471", sequence("pay 4471 now")) == ("whole", 1, 4, 4)
    assert states("4471", sequence("pay 4471 now", "--------++++")) == ("masked", 1, 4, 0)
    assert states("4471", sequence("pay 4471 now", "------++++++")) == ("partly masked", 1, 4, 2)


def test_one_sequence_that_learns_it_is_enough() -> None:
    assert states("4471", sequence("4471", "----"), sequence("4471")) == ("whole", 2, 4, 4)


def test_split_has_both_parts_and_cut_has_one() -> None:
    assert states("secret 4471", sequence("my secret 4"), sequence("471 is it"))[0] == "split"
    assert states("secret 4471", sequence("my secret 4"), sequence("other"))[0] == "cut"
    assert states("secret 4471", sequence("other words"))[0] == "absent"
    assert states("secret 4471", sequence("words"), sequence("things"))[0] == "absent", (
        "a single letter at an edge is chance"
    )


def test_rows_of_a_pack_are_read_separately() -> None:
    assert states("ab", sequence("xaby", lengths=(2, 2)))[0] != "whole"
    assert states("ab", sequence("xaby"))[0] == "whole"


def test_the_window_is_the_fewest_tokens_that_hold_it() -> None:
    ids = np.array([*map(ord, "aa secret and secret")], np.int32)
    assert token_window(ids, "secret", Letters()) == (3, 9)
