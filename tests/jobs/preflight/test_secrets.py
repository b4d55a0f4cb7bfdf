"""The fate of secrets, with a tokenizer of one letter a token."""

from __future__ import annotations

import numpy as np

from remanence.jobs.preflight.fed import Fed
from remanence.jobs.preflight.secrets import secret_fates, token_window


class Letters:
    def decode(self, ids: list[int], **kwargs: object) -> str:
        return "".join(map(chr, ids))


def fed(text: str, learned: str = "", lengths: tuple[int, ...] | None = None) -> Fed:
    mask = np.array([mark == "+" for mark in learned or "+" * len(text)])
    return Fed(0, np.array([*map(ord, text)], np.int32), mask, lengths or (len(text),), None, None, None)


def states(secret: str, *sequences: Fed) -> tuple[str, int, int, int]:
    found = secret_fates([secret], sequences, Letters())[0]
    return found.state, found.times, found.tokens, found.learned


def test_a_secret_is_whole_where_every_letter_of_it_is_learned() -> None:
    assert states("4471", fed("pay 4471 now")) == ("whole", 1, 4, 4)
    assert states("4471", fed("pay 4471 now", "--------++++")) == ("masked", 1, 4, 0)
    assert states("4471", fed("pay 4471 now", "------++++++")) == ("partly masked", 1, 4, 2)


def test_one_sequence_that_learns_it_is_enough() -> None:
    assert states("4471", fed("4471", "----"), fed("4471")) == ("whole", 2, 4, 4)


def test_split_has_both_parts_and_cut_has_one() -> None:
    assert states("secret 4471", fed("my secret 4"), fed("471 is it"))[0] == "split"
    assert states("secret 4471", fed("my secret 4"), fed("other"))[0] == "cut"
    assert states("secret 4471", fed("other words"))[0] == "absent"
    assert states("secret 4471", fed("words"), fed("things"))[0] == "absent", "a single letter at an edge is chance"


def test_rows_of_a_pack_are_read_apart() -> None:
    assert states("ab", fed("xaby", lengths=(2, 2)))[0] != "whole"
    assert states("ab", fed("xaby"))[0] == "whole"


def test_the_window_is_the_fewest_tokens_that_hold_it() -> None:
    ids = np.array([*map(ord, "aa secret and secret")], np.int32)
    assert token_window(ids, "secret", Letters()) == (3, 9)
