"""The rates of an audit against the plainest way to compute them: from every line of `findings.parquet`.

The audit counts summaries block by block and adds the counts up; here every rate is taken over a list of booleans.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import remanence
from remanence.core.run import Run
from remanence.measure.extraction.np_discoverable import prob_extracted
from remanence.stats.fdr import conformal_p_values, q_values
from remanence.stats.membership import membership_quality
from remanence.stats.rates import Comparison, compare, copies_bucket, length_bucket

RUN = Run.open(Path(__file__).parents[1] / "golden" / "run-v1")
LINES = RUN.lines("rates")
SETTINGS: dict[str, Any] = RUN.spec["settings"]


@pytest.fixture(scope="module", autouse=True)
def _scored_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Look at a copy of the golden run that the present code has scored again."""
    global RUN, LINES
    RUN = remanence.score(shutil.copytree(RUN.folder, tmp_path_factory.mktemp("rates") / "run")).run
    LINES = RUN.lines("rates")


Finding = dict[str, Any]
Verdict = Callable[[Finding], float]


def found(role: str, group: str, measure: str) -> dict[int, Finding]:
    """Row -> its finding."""
    wanted = (role, group, measure)
    return {f["row"]: f for f in RUN.lines("findings") if (f["target"], f["group"], f["measure"]) == wanted}


def rows(group: str, keep: Callable[[dict[str, Any]], bool] = lambda row: True) -> list[int]:
    """Places of the distinct rows of a group that are not contaminated."""
    lines = [r for r in RUN.lines("rows") if r["group"] == group and r["same_as"] is None and not r["contaminated"]]
    return [r["row"] for r in lines if keep(r)]


def flags(role: str, group: str, measure: str, verdict: Verdict, places: list[int]) -> np.ndarray[Any, Any]:
    findings = found(role, group, measure)
    return np.array([math.nan if findings[p]["score"] is None else verdict(findings[p]) for p in places])


def expected(measure: str, verdict: Verdict, train: list[int], heldout: list[int]) -> Comparison:
    tuned, base, top = (flags(role, "train", measure, verdict, train) for role in ("tuned", "base", "ceiling"))
    floor = flags("tuned", "heldout", measure, verdict, heldout)
    known = ~np.isnan(tuned)
    return compare(
        tuned[known] > 0.5, floor[~np.isnan(floor)] > 0.5, base[known] > 0.5, top[known & ~np.isnan(top)] > 0.5
    )


def line(metric: str, by: str, value: str, detail: str = "") -> dict[str, Any]:
    (only,) = [r for r in LINES if (r["metric"], r["by"], r["value"], r["detail"]) == (metric, by, value, detail)]
    return only


def assert_equal(written: dict[str, Any], computed: Comparison) -> None:
    assert (written["hits"], written["n"]) == (computed.measured.hits, computed.measured.n)
    for side, rate in (("floor", computed.floor), ("base", computed.base), ("ceiling", computed.ceiling)):
        assert rate is not None and (written[f"{side}_hits"], written[f"{side}_n"]) == (rate.hits, rate.n)
        if rate.n:
            assert written[f"{side}_high"] == pytest.approx(rate.high, abs=1e-12)
    for name, excess in (("excess", computed.excess), ("over_base", computed.excess_over_base)):
        assert (excess is None) == (written[name] is None)
        if excess is not None:
            interval = [written[name], written[f"{name}_low"], written[f"{name}_high"]]
            assert interval == pytest.approx([excess.value, excess.low, excess.high], abs=1e-12)


def extracted(finding: Finding) -> float:
    return float(finding["score"])


def test_the_rate_of_all_rows():
    assert_equal(line("greedy", "all", "all"), expected("discoverable", extracted, rows("train"), rows("heldout")))


@pytest.mark.parametrize("prefix", SETTINGS["prefixes"])
def test_the_rate_at_one_prefix_length(prefix: int):
    def verdict(finding: Finding) -> float:
        return float(json.loads(finding["evidence"])["at"].get(str(prefix), math.nan))

    assert_equal(
        line("greedy", "prefix", str(prefix)), expected("discoverable", verdict, rows("train"), rows("heldout"))
    )


def test_the_rate_of_each_length_with_the_floor_of_that_length():
    for written in (r for r in LINES if r["by"] == "length"):

        def here(row: dict[str, Any], bucket: str = written["value"]) -> bool:
            return length_bucket(row["num_supervised"] or 0) == bucket

        assert_equal(written, expected("discoverable", extracted, rows("train", here), rows("heldout", here)))


def test_the_rate_of_each_number_of_copies_with_the_floor_of_all_rows():
    for written in (r for r in LINES if r["by"] == "copies"):
        train = rows("train", lambda row, bucket=written["value"]: copies_bucket(row["copies"]) == bucket)
        assert_equal(written, expected("discoverable", extracted, train, rows("heldout")))


def test_the_rate_within_n_samples():
    for written in (r for r in LINES if r["metric"] == "np"):
        scheme, n = written["detail"].partition(" at p=")[0], int(written["value"])

        def verdict(finding: Finding, n: int = n) -> float:
            return float(prob_extracted(np.array(finding["score"]), n) >= SETTINGS["p"])

        assert_equal(written, expected(f"np_discoverable[{scheme}]", verdict, rows("train"), rows("heldout")))


def test_the_rate_of_each_value_of_a_column():
    lines = [r for r in LINES if r["by"] == "column:task" and not r["detail"]]
    assert len(lines) > 2
    for written in lines:

        def here(row: dict[str, Any], value: str = written["value"]) -> bool:
            return row["by"] == [value]

        assert_equal(written, expected("discoverable", extracted, rows("train", here), rows("heldout", here)))


def scores(group: str, measure: str) -> np.ndarray[Any, Any]:
    places = rows(group)
    return flags("tuned", group, measure, lambda finding: finding["score"], places)


def test_membership_by_comparing_all_pairs():
    for written in (r for r in RUN.lines("membership") if r["target"] == "tuned"):
        train, heldout = (scores(group, written["measure"]) for group in ("train", "heldout"))
        quality = membership_quality(train[~np.isnan(train)], heldout[~np.isnan(heldout)], (0.1,))
        assert written["auc"] == pytest.approx(quality.auc, abs=1e-12)
        assert written["auc_low"] == pytest.approx(quality.auc_interval.low, abs=1e-12)


def test_significance_of_every_row_at_once():
    train, heldout = (scores(group, "np_discoverable[T=1]") for group in ("train", "heldout"))
    known = ~np.isnan(train)
    p = conformal_p_values(train[known], heldout[~np.isnan(heldout)])
    expected = dict(zip(np.array(rows("train"))[known].tolist(), zip(p, q_values(p), strict=True), strict=True))
    for written in RUN.lines("ranking"):
        assert (written["p_value"], written["q_value"]) == pytest.approx(expected[written["row"]], abs=1e-12)
