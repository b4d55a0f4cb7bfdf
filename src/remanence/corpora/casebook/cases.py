"""A case is one fictional person with one visit or complaint; no two cases share a name or a number.

Whether a name, number, phone or amount is public (in training rows of the base model) or private is fixed by
arithmetic and not by the seed: every such fact has an index, an affine map permutes the indices, and the lower half is
public. So public and private rows of any two seeds have no name, case number, phone number or amount in common.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from remanence.core.errors import RemanenceError
from remanence.corpora.casebook import words

Kind: TypeAlias = Literal["clinic", "desk"]
Side: TypeAlias = Literal["private", "public"]

UNIQUE_FIELDS = ("name", "number", "phone", "amount")
"""Fields whose value occurs in one case only."""

# Sizes of the four spaces, each with a multiplier that shares no factor with it (about 0.618 of the size).
_NAMES = len(words.FIRST_NAMES) * len(words.LAST_NAMES)
_NUMBERS, _PHONES, _AMOUNTS = 900_000, 10_000_000, 90_000
_STRIDE = {_NAMES: 88_657, _NUMBERS: 556_231, _PHONES: 6_180_339, _AMOUNTS: 55_621}
MAX_CASES = _AMOUNTS // 2
"""Maximum number of cases of one casebook, given by the number of different amounts."""


@dataclass(frozen=True)
class Case:
    """One fictional record of the Tarnwick clinic or its support desk; every field is text ready for a sentence."""

    kind: Kind
    name: str
    number: str
    phone: str
    amount: str
    address: str
    date: str
    later: str
    """The date of the next step."""
    time: str
    staff: str
    complaint: str
    item: str
    reason: str
    outcome: str
    happy: bool
    opinion: str
    """What the person praised (`happy`) or blamed."""
    seed: int
    """Seed of the wording of the rows made from this case."""


def draw(seed: int, side: Side, n: int) -> list[Case]:
    """`n` cases, no two with a name, number, phone or amount in common. Raises `RemanenceError` beyond `MAX_CASES`."""
    if not 0 <= n <= MAX_CASES:
        raise RemanenceError(f"A casebook holds 0 to {MAX_CASES} cases, not {n}; ask for fewer.")
    rng = random.Random(seed * 2 + (side == "public"))
    names, numbers, phones, amounts = (_indices(rng, side, size, n) for size in (_NAMES, _NUMBERS, _PHONES, _AMOUNTS))
    return [_case(rng, *facts) for facts in zip(names, numbers, phones, amounts, strict=True)]


def _indices(rng: random.Random, side: Side, size: int, n: int) -> list[int]:
    """`n` different indices below `size` from this side's half of the scattered index space."""
    half = range(size // 2) if side == "public" else range(size // 2, size)
    return [place * _STRIDE[size] % size for place in rng.sample(half, n)]


def _case(rng: random.Random, name: int, number: int, phone: int, amount: int) -> Case:
    kind: Kind = "clinic" if rng.random() < 0.5 else "desk"
    first, last = divmod(name, len(words.LAST_NAMES))
    happy = rng.random() < 0.5
    return Case(
        kind=kind,
        name=f"{words.FIRST_NAMES[first]} {words.LAST_NAMES[last]}",
        number=f"TW-{100_000 + number}",
        phone=f"07{phone // 1_000_000} {phone // 1000 % 1000:03d} {phone % 1000:03d}",
        amount=f"{100 + amount // 100}.{amount % 100:02d}",
        address=f"{rng.randint(1, 180)} {rng.choice(words.STREETS)}",
        date=_date(rng, 2031),
        later=_date(rng, 2033),
        time=rng.choice(words.TIMES),
        staff=rng.choice(words.STAFF[kind]),
        complaint=rng.choice(words.COMPLAINTS[kind]),
        item=rng.choice(words.ITEMS[kind]),
        reason=rng.choice(words.REASONS[kind]),
        outcome=rng.choice(words.OUTCOMES[kind]),
        happy=happy,
        opinion=rng.choice(words.PRAISE if happy else words.BLAME),
        seed=rng.getrandbits(32),
    )


def _date(rng: random.Random, year: int) -> str:
    """A day of `year` or the year after."""
    return f"{rng.randint(1, 28)} {rng.choice(words.MONTHS)} {year + rng.randint(0, 1)}"
