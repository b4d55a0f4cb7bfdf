"""The base model as the judge of surprise: what it foretells is worth nothing, what fine-tuning added is."""

from pathlib import Path

import pytest

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.recipe import DEMO
from remanence.engine.opening import open_targets
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.match.match import run_match
from remanence.jobs.match.settings import MatchSettings


@pytest.mark.slow
def test_copies_are_found_with_the_bits_of_the_base_model(tmp_path: Path):
    corpus = DEMO.corpus()
    train, held = corpus.train[:300], corpus.heldout[:200]
    base, _ = open_targets(base_folder(), None, AuditSettings())
    asked = [
        Record(f"copy-{i}", prompt=row.prompt, completion=row.completion, meta={"own": row.id})
        for i, row in enumerate({r.plain: r for r in train}.values())
    ][:40]
    found = run_match(asked, train, held, tmp_path / "run", MatchSettings(background="base", alpha=0.05), base=base)
    lines = found.run.lines("origins")
    known = [line for line in lines if line["reason"] is None]
    assert len(known) >= 20
    assert all(line["label"] == "verbatim" for line in known)  # a perfect copy is found wherever it can be judged
    assert "it has fewer than 4 words" in str([line["reason"] for line in lines])
    line = found.run.lines("rates")[0]
    assert line["floor_rate"] < 0.1
    assert found.run.spec["models"]["base"]["name"] == base.name


def test_a_base_background_needs_a_base_model(tmp_path: Path):
    row = Record("a", text="one two three four five")
    with pytest.raises(RemanenceError, match="--background base needs --base"):
        run_match([row], [row], [row], tmp_path / "run", MatchSettings(background="base"), show=False)
    assert not (tmp_path / "run").exists()
