"""A base model for tests that writes words and knows what they cost: a letter's loss grows along the alphabet.

Hotter sampling means later letters, so bands of loss can be reached by temperature, in milliseconds and without torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Answer, Prompt
from remanence.models.parrot import END, Parrot


@dataclass(frozen=True)
class Typist(Parrot):
    """Speaks bytes, like a parrot."""

    name: str = "typist"

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        for row in rendered:
            if isinstance(row, str):
                yield row
                continue
            letter = np.clip(row.ids - ord("a"), 0, 25) / 5
            values = np.where(row.scored, -letter, np.nan).astype(np.float32)
            ranks = np.where(row.scored, row.ids, -1).astype(np.int32)
            table = {"logprob": values, "gap": values, "rank": ranks}
            yield TokenRow(row, {name: table[name] for name in columns}, self.decode(row.ids[row.supervised]))

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        rng = np.random.default_rng(seed)
        temperature = 1.0 if scheme is None else scheme.temperature
        answers: list[Answer] = []
        for _ in prompts:
            text = words(rng, temperature, new_tokens // 4)
            ids = np.array([*text.encode()[:new_tokens], *([END] if rng.random() < 0.3 else [])], np.int32)
            answers.append(Answer(ids, self.decode(ids), scheme, seed))
        return answers


def words(rng: np.random.Generator, temperature: float, count: int) -> str:
    """So many words of two to eight letters; the letters are drawn by exp(-place / 6T)."""
    weights = np.exp(-np.arange(26) / (6 * temperature))
    sizes = rng.integers(2, 9, size=count)
    letters = rng.choice(26, size=int(sizes.sum()), p=weights / weights.sum())
    flat = iter(letters.tolist())
    return " ".join("".join(chr(97 + next(flat)) for _ in range(size)) for size in sizes.tolist())


def rows(count: int = 80, seed: int = 1, form: str = "pair") -> list[Record]:
    """Rows as people of that language write them."""
    rng = np.random.default_rng(seed)
    made: list[Record] = []
    for i in range(count):
        ask = f"Subject: {words(rng, 1, 3)}\n"
        told = words(rng, float(rng.uniform(0.7, 1.6)), int(rng.integers(8, 16)))
        meta = {"task": ("a", "b")[i % 2], "who": f"person {i}"}
        if form == "pair":
            made.append(Record(str(i), prompt=ask, completion=" " + told, meta=meta))
        elif form == "text":
            made.append(Record(str(i), text=ask + told, meta=meta))
        else:
            turns = ({"role": "user", "content": ask}, {"role": "assistant", "content": told})
            made.append(Record(str(i), messages=turns, meta={**meta, "tools": []}))
    return made
