"""Claims are found by the name of their file."""

from __future__ import annotations

import pytest

from remanence.core.errors import RemanenceError
from remanence.replications.run import claim_names, find_claim


def test_every_claim_can_be_built_in_both_sizes():
    assert {"goldfish", "memfree"} <= set(claim_names())
    for name in claim_names():
        assert callable(find_claim(name)) and callable(find_claim(name, quick=True))


def test_unknown_claim_says_what_there_is():
    with pytest.raises(RemanenceError, match=r"goldfish, .*memfree"):
        find_claim("../run")
