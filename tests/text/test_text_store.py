"""Texts come back as they were given, from memory and from disk."""

from pathlib import Path

import pytest

from remanence.text.text_store import TextStore

TEXTS = ["one", "", "zwei Wörter", "三", "\ud800 lone", "🙂\n"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_any_text_comes_back_by_its_number(tmp_path: Path, on_disk: bool):
    store = TextStore.build(iter(TEXTS), tmp_path / "s" if on_disk else None)
    assert len(store) == 6 and list(store) == TEXTS
    assert store[3] == "三"
    with pytest.raises(IndexError, match="there are 6 texts, and no text 6"):
        store[6]
    if on_disk:
        assert list(TextStore.open(tmp_path / "s")) == TEXTS


@pytest.mark.parametrize("texts", [[], [""]])
def test_nothing_to_map(tmp_path: Path, texts: list[str]):
    assert list(TextStore.build(texts, tmp_path)) == texts
    assert list(TextStore.build(texts)) == texts
