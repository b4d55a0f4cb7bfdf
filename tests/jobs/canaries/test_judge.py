"""Exposure, membership and secrets from scores: ranks by hand, by brute force, and by chance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import made_up
import numpy as np
import pytest

from remanence.jobs.canaries.exposures import Scored, against_base, exposure_lines, summary_lines
from remanence.jobs.canaries.key import Key
from remanence.stats.exposure import chance_exposure


def rows(key: Key, scores: Any) -> list[Scored]:
    every = [*key.of("canary"), *key.of("twin")]
    return [Scored(one, float(s), 30.0, 3, bool(s > -1)) for one, s in zip(every, scores, strict=True)]


def dealt(key: Key, counts: tuple[int, ...]) -> Key:
    return key.with_copies({one.id: counts[i % len(counts)] for i, one in enumerate(key.of("canary"))}, {})


def test_one_canary_among_seven_twins_by_hand() -> None:
    # -2 is third of eight: log2 8 - log2 3 bits. Six of seven ... five twins below, none level: AUC 5/7.
    key = made_up.key(1, 7, bands=("low",))
    seen = rows(key, [-2.0, -1.0, -1.5, -3.0, -4.0, -5.0, -6.0, -7.0])
    line = exposure_lines("tuned", "loss", seen)[0]
    assert (line["candidates"], line["rank"]) == (8, pytest.approx(3))
    assert line["exposure"] == pytest.approx(3 - math.log2(3)) and line["most"] == 3
    summary = summary_lines("tuned", "loss", seen, 0)
    assert summary[0]["copies"] == 0 and summary[0]["n"] == 8
    key = dealt(key, (4,))
    both = summary_lines("tuned", "loss", rows(key, [one.score for one in seen]), 0)
    assert [line["copies"] for line in both] == [0, 4]
    assert both[1]["auc"] == pytest.approx(5 / 7) and both[1]["back_hits"] == 0


def test_ranks_are_those_of_brute_force_within_the_band() -> None:
    key = dealt(made_up.key(6, 24), (1, 4, 16))
    scores = np.random.default_rng(0).normal(size=30).round(1)  # with ties
    seen = rows(key, scores)
    lines = exposure_lines("tuned", "loss", seen)
    for one, line in zip(seen, lines, strict=True):
        others = [
            x.score for x in seen if x.canary.kind == "twin" and x.canary.band == one.canary.band and x is not one
        ]
        above = sum(s > one.score for s in others) + sum(s == one.score for s in others) / 2
        assert line["rank"] == pytest.approx(1 + above)
        assert line["exposure"] == pytest.approx(math.log2(len(others) + 1) - math.log2(1 + above))


def test_auc_is_the_share_of_pairs() -> None:
    key = dealt(made_up.key(5, 16, bands=("low",)), (2,))
    scores = np.random.default_rng(1).normal(size=21)
    line = summary_lines("tuned", "loss", rows(key, scores), 0)[1]
    assert line["auc"] == pytest.approx(np.mean([[a > b for b in scores[5:]] for a in scores[:5]]))
    assert line["auc_low"] < line["auc"] < line["auc_high"]


def test_bands_of_other_levels_do_not_make_members() -> None:
    """The low band is likelier by far; canaries and twins of each band are alike."""
    key = dealt(made_up.key(40, 40), (1,))
    rng = np.random.default_rng(2)
    every = [*key.of("canary"), *key.of("twin")]
    scores = [rng.normal() + (50 if one.band == "low" else 0) for one in every]
    summary = {(r["band"], r["copies"]): r for r in summary_lines("tuned", "loss", rows(key, scores), 0)}
    assert set(summary) == {(b, c) for b in ("all", "low", "high") for c in (0, 1)}
    assert summary["all", 1]["auc"] == pytest.approx(0.5, abs=0.15)


def test_a_canary_that_nobody_planted_has_chance_exposure() -> None:
    rng = np.random.default_rng(3)
    key = dealt(made_up.key(20, 40, bands=("low",)), (1,))
    found = [summary_lines("tuned", "loss", rows(key, rng.normal(size=60)), 0)[1] for _ in range(150)]
    assert np.mean([line["exposure"] for line in found]) == pytest.approx(chance_exposure(41), abs=0.1)
    assert found[0]["chance"] == pytest.approx(chance_exposure(41))
    assert np.mean([line["auc"] for line in found]) == pytest.approx(0.5, abs=0.02)


def test_what_ranks_cannot_tell_is_extrapolated_and_told_apart() -> None:
    key = dealt(made_up.key(2, 64, bands=("low",)), (1,))
    scores = np.concatenate([[8.0, 0.0], np.random.default_rng(4).normal(size=64)])
    first, middle = exposure_lines("tuned", "loss", rows(key, scores))[:2]
    assert first["exposure"] == first["most"] == pytest.approx(math.log2(65))
    assert first["fitted"] > 20  # eight standard deviations out
    assert middle["fitted"] == pytest.approx(1.0, abs=0.3) and middle["exposure"] == pytest.approx(1.0, abs=0.3)
    line = summary_lines("tuned", "loss", rows(key, scores), 0)[1]
    assert line["first"] == 1 and line["n"] == 2
    far = exposure_lines("tuned", "loss", rows(key, np.concatenate([[80.0, 0.0], scores[2:]])))[0]
    assert far["fitted"] == 30, "no more bits than the row has"


def test_rows_that_cannot_be_measured_are_left_out_and_say_why() -> None:
    key = dealt(made_up.key(3, 16, bands=("low",)), (1,))
    seen = rows(key, np.random.default_rng(5).normal(size=19))
    seen[0] = Scored(seen[0].canary, reason="the row is empty")
    seen[1] = replace(seen[1], secret_back=None, secret_tokens=None, reason="truncation cut the secret")
    seen[5] = Scored(seen[5].canary, reason="the row is empty")
    lines = exposure_lines("tuned", "loss", seen)
    assert "exposure" not in lines[0] and lines[0]["reason"] == "the row is empty"
    assert lines[1]["candidates"] == 16, "a twin that cannot be measured is no candidate"
    line = summary_lines("tuned", "loss", seen, 0)[1]
    assert line["n"] == 2 and line["back_n"] == 1


def test_against_the_base_only_what_training_added_counts() -> None:
    key = made_up.key(2, 8)
    tuned, base = rows(key, np.arange(10.0)), rows(key, np.arange(10.0) - np.eye(10)[0])
    assert [one.score for one in against_base(tuned, base)] == [1.0, *[0.0] * 9]
