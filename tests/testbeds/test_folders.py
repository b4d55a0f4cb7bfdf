"""Pre-trained models and data sets are looked for where the user says, and a missing one is told in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from remanence.core.errors import RemanenceError
from remanence.testbeds.folders import data_set, has_pretrained, pretrained


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "smollm2").mkdir()
    (tmp_path / "smollm2" / "config.json").write_text("{}")
    monkeypatch.setenv("REMANENCE_PRETRAINED", str(tmp_path))
    return tmp_path


def test_a_name_is_a_subfolder_and_a_path_is_itself(models: Path, monkeypatch: pytest.MonkeyPatch):
    assert pretrained("smollm2") == models / "smollm2"
    monkeypatch.delenv("REMANENCE_PRETRAINED")
    assert pretrained(models / "smollm2") == models / "smollm2"
    assert pretrained(str(models / "smollm2")) == models / "smollm2"
    assert has_pretrained(models / "smollm2") and not has_pretrained("smollm2")


def test_a_missing_model_is_told_with_the_remedy(models: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RemanenceError, match=r"gemma3 has no config\.json: put the model 'gemma3' there"):
        pretrained("gemma3")
    monkeypatch.delenv("REMANENCE_PRETRAINED")
    with pytest.raises(RemanenceError, match="set REMANENCE_PRETRAINED to the folder that holds gemma3/"):
        pretrained("gemma3")


def test_a_data_set_is_a_subfolder(models: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REMANENCE_DATA", str(models))
    assert data_set("smollm2") == models / "smollm2"
    with pytest.raises(RemanenceError, match="put the data set 'mnist' there"):
        data_set("mnist")
    monkeypatch.delenv("REMANENCE_DATA")
    with pytest.raises(RemanenceError, match="set REMANENCE_DATA to the folder that holds mnist/"):
        data_set("mnist")
