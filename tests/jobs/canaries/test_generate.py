"""Canaries fall into the band that was asked for, look like the rows, and are like none of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typist
from typist import Typist

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.target import Scores
from remanence.jobs.canaries.bands import Band, bands_of, next_temperature
from remanence.jobs.canaries.generate import Made, make
from remanence.jobs.canaries.key import records_of
from remanence.jobs.canaries.secret import secret_span
from remanence.jobs.canaries.settings import MakeSettings
from remanence.jobs.canaries.shape import learned
from remanence.text.duplicates import contamination, twin_groups

SMALL: dict[str, Any] = {"canaries": 6, "controls": 24, "min_tokens": 20, "max_tokens": 60, "secret_tokens": 8}


def made(form: str = "pair", **changed: Any) -> Made:
    return make(Typist(), typist.rows(form=form), MakeSettings(**{**SMALL, **changed}), show=False)


def test_bands_are_quantiles_by_hand() -> None:
    # Of the losses 0, 0.01, ... 1 the low band is from 0.05 to 0.35, and bands end where the next one begins.
    low, high = bands_of(np.linspace(0, 1, 101), ["low", "high"])
    assert low == Band("low", pytest.approx(0.05), pytest.approx(0.35))
    assert high == Band("high", pytest.approx(0.65), pytest.approx(0.95))
    assert low.holds(0.2) and not low.holds(0.36) and not low.holds(0.0)


def test_temperature_is_steered_towards_the_band() -> None:
    band = Band("typical", 2.0, 3.0)
    assert next_temperature(1.0, [5.0, 5.0], band) == pytest.approx(1 / 1.4)
    assert next_temperature(1.0, [1.0, 1.0], band) == pytest.approx(1.4)
    assert next_temperature(1.3, [2.5], band) == pytest.approx(1.3), "in the middle it stays"
    assert 1.0 < next_temperature(1.0, [2.4], band) < 1.1, "near the middle it moves little"
    assert next_temperature(4.0, [], band) == pytest.approx(2.0), "if nothing could be scored, back towards 1"


@pytest.mark.parametrize("form", ["pair", "text", "messages"])
def test_every_canary_lies_in_its_band_and_is_safe_to_cut_again(form: str) -> None:
    base, found = Typist(), made(form)
    kinds = Counter((one.kind, one.band) for one in found.canaries)
    assert kinds == {(k, b): n for k, n in (("canary", 2), ("twin", 8)) for b in ("low", "typical", "high")}
    bands = {band.name: band for band in found.bands}
    records = records_of(found.canaries, {})
    for one, record, row in zip(found.canaries, records, base.score(records, ("logprob",)), strict=True):
        assert not isinstance(row, str)
        loss = -float(row.scored("logprob").mean())
        assert loss == pytest.approx(one.loss, abs=1e-5) and bands[one.band].holds(loss)
        start, end = secret_span(base, row.rendered, one.secret)
        assert base.decode(row.rendered.ids[start:end]).strip() == one.secret
        assert one.secret_bits == pytest.approx(-row.columns["logprob"][start:end].sum() / np.log(2), abs=1e-2)
        assert learned(record).endswith(one.secret) and record.form == form
        assert 20 <= row.scored("logprob").size <= 130
        told = record.plain.split("\n")[0]
        assert told.startswith("Subject: "), "the template of the rows"


def test_no_canary_is_like_another_or_like_a_row() -> None:
    found, rows = made(), typist.rows()
    texts = [record.plain for record in records_of(found.canaries, {})]
    assert not contamination([row.plain for row in rows], texts).any()
    assert (twin_groups(texts) == np.arange(len(texts))).all()
    assert len({one.secret for one in found.canaries}) == len(texts)
    assert len({one.id for one in found.canaries}) == len(texts)


def test_a_base_that_repeats_the_rows_gets_nowhere() -> None:
    rows = typist.rows(20)

    class Copyist(Typist):
        def generate(self, prompts: Any, new_tokens: int, scheme: Any = None, seed: int = 0) -> Any:
            said = super().generate(prompts, new_tokens, scheme, seed)
            texts = [learned(rows[i % 20]).strip().encode()[:new_tokens] for i in range(len(said))]
            return [
                replace(a, ids=np.frombuffer(t, np.uint8).astype(np.int32)) for a, t in zip(said, texts, strict=True)
            ]

    with pytest.raises(RemanenceError, match=r"Only 0 of \d+ rows of the \w+ band could be made in 3 rounds"):
        make(Copyist(), rows, MakeSettings(**SMALL, rounds=3), show=False)


def test_columns_are_kept_and_say_nothing_about_anybody() -> None:
    for one in made().canaries:
        assert list(one.row) == ["prompt", "completion", "task", "who"]
        assert one.row["task"] in {"a", "b"} and one.row["who"] is None
    assert all(one.row["tools"] == [] for one in made("messages").canaries), "what a chat template reads is shape"


def test_words_of_rows_need_no_model_that_writes() -> None:
    rng = np.random.default_rng(0)
    few = sorted({typist.words(rng, 1.5, 1) for _ in range(150)})
    rows = [replace(r, completion=" " + " ".join(rng.choice(few, 12))) for r in typist.rows()]
    with pytest.raises(RemanenceError, match="--text-source rows"):
        make(_only_scores(), rows, MakeSettings(**SMALL), show=False)
    found = make(_only_scores(), rows, MakeSettings(**SMALL, text_source="rows"), show=False)
    assert len(found.canaries) == 30 and {one.temperature for one in found.canaries} == {None}
    used = {word for one in found.canaries for word in one.row["completion"].split()}
    assert len(used & set(few)) > 50, "the words of many rows"


def _only_scores() -> Scores:
    base = Typist()

    class Mute:
        name, fingerprint, vocabulary = "mute", "0", base.vocabulary
        render, decode, score = base.render, base.decode, base.score

    return Mute()  # type: ignore[return-value]


def test_digits_stand_behind_the_words() -> None:
    for one in made(secret="digits", digits=4).canaries:
        assert len(one.secret) == 4 and one.secret.isdigit()
        assert one.row["completion"].endswith(f" {one.secret}")


def test_a_band_that_cannot_be_filled_is_told_with_a_remedy() -> None:
    with pytest.raises(RemanenceError, match="in 1 rounds: ask for fewer, allow more --rounds"):
        made(rounds=1, controls=900)
    with pytest.raises(RemanenceError, match="at least 8 of them"):
        make(Typist(), typist.rows(5), MakeSettings(**SMALL), show=False)
    with pytest.raises(RemanenceError, match="bands= may contain low, typical, high, got 'middle'"):
        MakeSettings(bands=("middle",))
    with pytest.raises(RemanenceError, match="need at least"):
        MakeSettings(canaries=2)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [{"frage": r.prompt, "antwort": r.completion, **r.meta} for r in typist.rows()]
    columns = {"prompt": "frage", "completion": "antwort"}
    texts: list[bytes] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        remanence.make_canaries(
            Typist(), rows, out=tmp_path / name, columns=columns, show_progress=False, seed=seed, **SMALL
        )
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1] != texts[2]
    told = json.loads(texts[0])
    assert list(told["canaries"][0]["row"])[:2] == ["frage", "antwort"] and told["columns"] == columns
    assert told["made"]["data"]["rows"] == 80 and str(tmp_path) not in texts[0].decode()
    with pytest.raises(RemanenceError, match="not overwritten"):
        remanence.make_canaries(Typist(), rows, out=tmp_path / "a", columns=columns, **SMALL)


@pytest.mark.slow
def test_a_real_model_writes_canaries_for_real_chats_of_the_casebook(tmp_path: Path) -> None:
    """The base that ships: a byte-level BPE, whose tokens join across words in other ways than bytes do."""
    from remanence.corpora.casebook.base_model import base_folder
    from remanence.corpora.casebook.corpus import private_corpus
    from remanence.engine.opening import open_targets

    rows = private_corpus(0, 200).train
    key = remanence.make_canaries(base_folder(), rows, out=tmp_path / "made.json", show_progress=False, **SMALL)
    base, _ = open_targets(base_folder(), None, MakeSettings(**SMALL))
    assert isinstance(base, Scores)
    for kind in ("canary", "twin"):
        for one, record in zip(key.of(kind), key.records(kind), strict=True):
            rendered = base.render(record)
            start, end = secret_span(base, rendered, one.secret)
            assert base.decode(rendered.ids[start:end]).strip() == one.secret
