"""One small world whose every word has a known owner: casebook rows, a few passages written by hand, held-out rows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import hand_made_corpus


@pytest.fixture(scope="session")
def world() -> hand_made_corpus.World:
    return hand_made_corpus.world()
