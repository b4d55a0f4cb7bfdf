"""Compile the detector's Numba kernels: about a minute on first use of an installation, a second or two afterwards.

Numba compiles a kernel on its first call and caches the result beside the source, so one small match compiles them all.
"""

from __future__ import annotations

from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import GeneratedText

TRAIN = (
    "The red kite over the harbour was seen by Ada Lind on Monday. She wrote it down in her blue book at noon.",
    "A brown dog sat on the mat near the old door. Nobody had called him, and nobody sent him away again.",
    "The meeting about invoice 4471 was moved to Friday. Please bring the signed papers with you this time.",
)
HELD_OUT = (
    "Two friends walked along the river until it was dark. They spoke of trains, of bread, and of the sea.",
    "The shop opens at nine on weekdays. On Sundays it is closed, and the baker sleeps until late morning.",
)


def compile_kernels() -> None:
    """Match a few made-up sentences, which calls every kernel once."""
    index = PlagiarismIndex.build(TRAIN)
    heldout = [GeneratedText(text, heldout=i) for i, text in enumerate(HELD_OUT)]
    calibration = NullCalibration.fit(index, heldout, (10,))
    reworded = TRAIN[0].replace("seen", "spotted").replace("blue", "green")
    texts = [
        GeneratedText(TRAIN[1], own=1),
        GeneratedText(reworded, "The red kite", own=0),
        GeneratedText(HELD_OUT[0]),
    ]
    _ = index.match(texts, calibration, 0.5)
    _ = index.spans([TRAIN[2]])


if __name__ == "__main__":
    compile_kernels()
