"""Gets the detector's compiled parts ready: about a minute on first use of an installation, a second or two later.

Numba compiles each kernel when it is first called and keeps it beside the source, so one small match does it.
"""

from __future__ import annotations

from remanence.measure.plagiarism.chance import Chance
from remanence.measure.plagiarism.index import PlagiarismIndex
from remanence.measure.plagiarism.said import Said

TRAIN = (
    "The red kite over the harbour was seen by Ada Lind on Monday. She wrote it down in her blue book at noon.",
    "A brown dog sat on the mat near the old door. Nobody had called him, and nobody sent him away again.",
    "The meeting about invoice 4471 was moved to Friday. Please bring the signed papers with you this time.",
)
HELD_OUT = (
    "Two friends walked along the river until it was dark. They spoke of trains, of bread, and of the sea.",
    "The shop opens at nine on weekdays. On Sundays it is closed, and the baker sleeps until late morning.",
)


def get_ready() -> None:
    """Match a few made-up sentences."""
    index = PlagiarismIndex.build(TRAIN)
    chance = Chance.of(index, [Said(text, heldout=i) for i, text in enumerate(HELD_OUT)], (10,))
    changed = TRAIN[0].replace("seen", "spotted").replace("blue", "green")
    _ = index.match([Said(TRAIN[1], own=1), Said(changed, "The red kite", own=0), Said(HELD_OUT[0])], chance, 0.5)
    _ = index.spans([TRAIN[2]])


if __name__ == "__main__":
    get_ready()
