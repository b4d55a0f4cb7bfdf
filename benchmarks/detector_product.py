"""The same question as `detector_floor.py`, put to what ships: `PlagiarismIndex`, `NullCalibration` and `match` at 1 %.

    python benchmarks/detector_product.py ../shared/data [--sets sst2,aeslc]

Held-out texts are split at random: one half is the null calibration, the other half is judged as generations, and so
are copies of 20 words and copies of 50 words in which one word in ten is replaced. Prints one line per set.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from detector_floor import RECORDS, SETS, texts_of

from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import GeneratedText
from remanence.stats.rates import Rate

ALPHA, COPIES = 0.01, 300


def opening(text: str, words: int) -> str:
    """The first words of a text."""
    return " ".join(text.split()[:words])


def copy(text: str, words: int, dice: random.Random, others: list[str] | None = None) -> str:
    """Words in a row from anywhere in the text; with `others`, one in ten is replaced by a word from there."""
    tokens = text.split()
    first = dice.randrange(max(1, len(tokens) - words + 1))
    chosen = tokens[first : first + words]
    if others is not None:
        for place in dice.sample(range(len(chosen)), round(len(chosen) / 10)):
            chosen[place] = dice.choice(dice.choice(others).split() or ["x"])
    return " ".join(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    for name in options.sets.split(","):
        dice = random.Random(0)
        train = texts_of(options.data, name, ("train",))
        dice.shuffle(train)
        train = train[:RECORDS]
        held = texts_of(options.data, name, ("validation", "test"))
        dice.shuffle(held)
        half = len(held) // 2
        index = PlagiarismIndex.build(train)
        null = [GeneratedText(text, heldout=i) for i, text in enumerate(held[:half])]
        calibration = NullCalibration.fit(index, null)
        asked = [GeneratedText(opening(text, 100)) for text in held[half:]]
        other = NullCalibration.fit(
            index, [GeneratedText(one.text, heldout=i) for i, one in enumerate(asked)], lengths=(100,), aligned=1
        )
        found = [one for one, out in zip(index.match(asked, calibration, ALPHA), other.quoting, strict=True) if not out]
        floor = {
            kind: Rate.of(np.array([one.label in kinds for one in found]))
            for kind, kinds in (("verbatim", ("verbatim",)), ("any", ("verbatim", "paraphrase")))
        }
        shares = []
        for words, others in ((20, None), (50, train)):
            own = [dice.randrange(len(train)) for _ in range(COPIES)]
            said = [GeneratedText(copy(train[i], words, dice, others), own=i) for i in own]
            judged = index.match(said, calibration, ALPHA, decoys=0)
            hits = sum(one.label == "verbatim" for one in judged)
            mute = sum(one.reason is not None for one in judged)
            shares.append(f"{100 * hits / COPIES:.0f} (not measurable {100 * mute / COPIES:.0f})")
        shown = {k: f"{100 * r.rate:.1f} [{100 * r.low:.1f}, {100 * r.high:.1f}]" for k, r in floor.items()}
        print(
            f"{name:18s} floor verbatim {shown['verbatim']} with paraphrase {shown['any']} of {floor['any'].n} | "
            f"20 words {shares[0]} | 50 words, a tenth replaced {shares[1]} | "
            f"quoting {calibration.num_quoting} of {half}",
            flush=True,
        )


if __name__ == "__main__":
    main()
