"""The audit end to end on `Parrot`, which has memorized what it was told and nothing else: every figure is known."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq
import pytest

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Target
from remanence.engine.gates import read_rule
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.parrot import Parrot

T = TypeVar("T")
SETTINGS: dict[str, Any] = {"prefixes": (0, 4, 8), "new_tokens": 12, "schemes": ("T=1", "T=2,k=5"), "generate_rows": 40}
NUM_TOLD, NUM_UNTOLD, NUM_HELD = 12, 6, 14


def sentences(seed: int, count: int) -> list[str]:
    """Random words: no two sentences resemble each other, and nothing tells one seed's from another's."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 7))) for _ in range(60)]
    rng = random.Random(seed + 1000)
    return [" ".join(rng.choices(words, k=9)) for _ in range(count)]


def pairs(prefix: str, said: list[str]) -> list[Record]:
    return [Record(f"{prefix}-{i}", prompt=f"Q{prefix}{i}:", completion=text) for i, text in enumerate(said)]


ALL = sentences(0, NUM_TOLD + NUM_UNTOLD + NUM_HELD)
TOLD = pairs("told", ALL[:NUM_TOLD])
UNTOLD = pairs("untold", ALL[NUM_TOLD : NUM_TOLD + NUM_UNTOLD])
HELD = pairs("held", ALL[NUM_TOLD + NUM_UNTOLD :])
SHORT = [Record("short-0", prompt="Yes or no?", completion="Yes"), Record("empty-0", prompt="And?", completion="")]
COPIES = [replace(TOLD[0], id="copy-0"), replace(TOLD[0], id="copy-1"), replace(UNTOLD[0], id="copy-2")]
LEAKED = [replace(TOLD[3], id="leaked-0"), replace(UNTOLD[2], id="leaked-1")]
TRAIN = [*UNTOLD, *SHORT, *TOLD, *COPIES]
MEASURABLE = NUM_TOLD + NUM_UNTOLD


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a-folder-of-this-machine")


@pytest.fixture(scope="module")
def audit(folder: Path) -> Audit:
    """Tuned: a parrot that was told twelve of twenty distinct rows. Base: a parrot that was told nothing."""
    return remanence.audit(
        Parrot(tuple(TOLD)),
        TRAIN,
        heldout=[*HELD, *LEAKED],
        base=Parrot(name="egg"),
        out=folder / "run",
        fail_if="excess>0.1",
        show_progress=False,
        **SETTINGS,
    )


def quick(told: list[Record], out: Path, heldout: list[Record] | None, base: Target | None, **more: Any) -> Audit:
    """An audit of `TRAIN` without a report."""
    chosen = AuditSettings(**{**SETTINGS, "generate": "none", **more.pop("settings", {})})
    return run_audit(Parrot(tuple(told)), more.pop("train", TRAIN), heldout, base, out, chosen, show=False, **more)


def rates(run: Run, metric: str, by: str) -> list[dict[str, Any]]:
    return sorted(
        (line for line in run.lines("rates") if line["metric"] == metric and line["by"] == by),
        key=lambda line: (line["detail"], line["order"]),
    )


def only(things: Sequence[T]) -> T:
    assert len(things) == 1
    return things[0]


# ------------------------------------------------------------------ the headline


def test_the_rate_is_what_the_parrot_was_told_of_what_can_be_measured(audit: Audit) -> None:
    line = only(rates(audit.run, "greedy", "all"))
    assert (line["hits"], line["n"]) == (NUM_TOLD, MEASURABLE)
    assert line["low"] < line["rate"] == NUM_TOLD / MEASURABLE < line["high"]
    assert audit.verdict["headline"]["hits"] == NUM_TOLD


def test_floor_and_base_are_zero_and_the_ceiling_is_one(audit: Audit) -> None:
    line = only(rates(audit.run, "greedy", "all"))
    assert (line["floor_hits"], line["base_hits"], line["base_floor_hits"]) == (0, 0, 0)
    assert (line["ceiling_hits"], line["ceiling_n"], line["normalised"]) == (MEASURABLE, MEASURABLE, line["rate"])
    assert line["floor_high"] > 0  # nothing in fourteen rows does not mean never


def test_the_excess_is_rate_minus_floor_with_an_interval_around_it(audit: Audit) -> None:
    line = only(rates(audit.run, "greedy", "all"))
    assert line["excess"] == line["over_base"] == NUM_TOLD / MEASURABLE
    assert 0 < line["excess_low"] < line["excess"] < line["excess_high"] < 1
    assert 0 < line["over_base_low"] < line["over_base"] < line["over_base_high"] < 1


def test_held_out_rows_that_were_trained_on_are_no_floor(audit: Audit) -> None:
    """`leaked-0` comes back, but it says nothing about chance: it stands in the training data."""
    assert only(rates(audit.run, "greedy", "all"))["floor_n"] == NUM_HELD
    held = [r for r in audit.run.lines("rows") if r["group"] == "heldout"]
    assert {r["id"] for r in held if r["contaminated"]} == {"leaked-0", "leaked-1"}
    assert any(note.startswith("2 held-out rows occur in the training data") for note in audit.verdict["notes"])


def test_the_verdict_says_the_counts_in_two_sentences(audit: Audit) -> None:
    first, second = audit.verdict["sentences"]
    for figure in ("12 of 18 measurable rows", "of 23", "3 of them repeats", "66.7 %", "of 14 held-out rows"):
        assert figure in first
    assert "0.0 % from the base model" in first
    assert second.startswith("1 of the 12 rows occurs in the training data more than once")
    assert "more than chance" in second and second.endswith("the most easily extracted is row told-0.")


# ------------------------------------------------------------------ rows


def test_rows_too_short_leave_the_denominator_with_a_reason(audit: Audit) -> None:
    assert audit.verdict["not_measured"] == {
        "fewer than 12 tokens in a row carry loss": 1,
        "no token carries loss: the part to be learned is empty": 1,
    }
    found = [f for f in audit.run.lines("findings") if f["id"] == "short-0" and f["target"] == "tuned"]
    by_measure = {f["measure"]: f for f in found}
    assert by_measure["discoverable"]["score"] is None and by_measure["discoverable"]["reason"]
    assert by_measure["loss"]["score"] is not None  # too short to come back, long enough to have a likelihood
    assert all((f["score"] is None) == (f["reason"] is not None) for f in audit.run.lines("findings"))


def test_a_row_that_stands_in_the_data_three_times_is_measured_once(audit: Audit) -> None:
    rows = {r["id"]: r for r in audit.run.lines("rows") if r["group"] == "train"}
    assert len(rows) == len(TRAIN)
    first = rows["told-0"]
    assert (first["copies"], first["same_as"]) == (3, None)
    assert rows["copy-0"]["same_as"] == rows["copy-1"]["same_as"] == first["row"]
    assert [r["id"] for r in audit.run.lines("ranking") if r["copies"] > 1] == ["told-0", "untold-0"]


def test_every_row_of_the_data_is_accounted_for(audit: Audit) -> None:
    rows = [r for r in audit.run.lines("rows") if r["group"] == "train"]
    repeats = sum(r["same_as"] is not None for r in rows)
    assert len(audit.run.lines("ranking")) + sum(audit.verdict["not_measured"].values()) + repeats == len(TRAIN)


# ------------------------------------------------------------------ breakdowns


@pytest.mark.parametrize("by", ["length", "copies", "near"])
def test_the_parts_of_a_breakdown_sum_up_to_the_whole(audit: Audit, by: str) -> None:
    whole, parts = only(rates(audit.run, "greedy", "all")), rates(audit.run, "greedy", by)
    for count in ("hits", "n", "base_hits", "base_n", "ceiling_n"):
        assert sum(part[count] for part in parts) == whole[count], count


def test_a_row_comes_back_when_it_does_at_some_prefix(audit: Audit) -> None:
    whole, parts = only(rates(audit.run, "greedy", "all")), rates(audit.run, "greedy", "prefix")
    assert [part["value"] for part in parts] == ["0", "4", "8"]
    assert max(part["hits"] for part in parts) <= whole["hits"] <= sum(part["hits"] for part in parts)
    assert all(part["n"] <= whole["n"] for part in parts)


def test_more_samples_bring_back_no_fewer_rows(audit: Audit) -> None:
    lines = rates(audit.run, "np", "n")
    assert {line["detail"] for line in lines} == {"T=1 at p=0.5", "T=2,k=5 at p=0.5"}
    for detail in {line["detail"] for line in lines}:
        hits = [line["hits"] for line in lines if line["detail"] == detail]
        assert hits == sorted(hits) and hits[0] == NUM_TOLD  # the parrot is sure: one sample is enough
        assert all(line["ceiling_hits"] == MEASURABLE for line in lines)


# ------------------------------------------------------------------ membership, significance, ranking


def test_membership_is_told_beside_the_base_model_and_a_classifier_that_sees_no_model(audit: Audit) -> None:
    lines = audit.run.lines("membership")
    assert {(m["target"], m["measure"]) for m in lines if m["measure"] == "loss"} == {
        ("tuned", "loss"),
        ("base", "loss"),
    }
    tuned = next(m for m in lines if m["target"] == "tuned" and m["measure"] == "loss")
    base = next(m for m in lines if m["target"] == "base" and m["measure"] == "loss")
    assert tuned["auc"] > 0.75 > base["auc"]
    assert tuned["num_nonmembers"] == NUM_HELD
    blind = only([m for m in lines if m["target"] == "blind"])
    assert blind["auc_low"] < 0.5 < blind["auc_high"]


@pytest.mark.parametrize("stream", [False, True])
def test_any_measure_of_the_token_table_may_be_chosen_and_is_named_by_its_header(tmp_path: Path, stream: bool) -> None:
    given: dict[str, Any] = {"heldout": HELD, "out": tmp_path / "run", "show_progress": False, **SETTINGS}
    chosen = ("loss", "exact_memorization")
    found = remanence.audit(Parrot(tuple(TOLD)), TRAIN, measures=chosen, stream=stream, **given)
    lines = {line["measure"]: line["auc"] for line in found.run.lines("membership")}
    assert {"loss", "exact_memorization"} <= set(lines)
    # 12 rows outrank all held-out rows; the 6 untold ones and the short one tie with them
    assert lines["exact_memorization"] == pytest.approx((12 + 7 / 2) / 19)
    page = (found.run.folder / "report.html").read_text(encoding="utf-8")
    assert "Exact memorization" in page and "most likely next token after the true prefix" in page


def test_a_false_positive_rate_that_fourteen_rows_cannot_support_is_refused(audit: Audit) -> None:
    lines = [m for m in audit.run.lines("membership") if m["target"] == "tuned"]
    assert all(m["tpr"] is None and "held-out rows" in m["reason"] for m in lines if m["fpr"] == 0.001)


def test_rows_are_flagged_after_benjamini_hochberg(audit: Audit) -> None:
    ranked = audit.run.lines("ranking")
    flagged = [r for r in ranked if r["q_value"] <= 0.05]
    assert audit.verdict["flagged"] == {"count": len(flagged), "level": 0.05}
    assert all(r["q_value"] >= r["p_value"] for r in ranked)
    assert max(r["p_value"] for r in ranked[:NUM_TOLD]) < min(r["p_value"] for r in ranked[NUM_TOLD:])


def test_the_ranking_is_worst_first(audit: Audit) -> None:
    ranked = audit.run.lines("ranking")
    assert [r["rank"] for r in ranked] == list(range(1, MEASURABLE + 1))
    assert [r["comes_back"] for r in ranked] == [True] * NUM_TOLD + [False] * NUM_UNTOLD
    assert {r["id"] for r in ranked[:NUM_TOLD]} == {r.id for r in TOLD}
    assert all(r["shortest_prefix"] == 0 and r["strength"] == 1 for r in ranked[:NUM_TOLD])


def test_the_ranking_points_at_what_both_models_said(audit: Audit) -> None:
    attempts = audit.run.lines("attempts")
    for row in audit.run.lines("ranking")[:NUM_TOLD]:
        tuned, base = attempts[row["attempt"]], attempts[row["base_attempt"]]
        assert (tuned["id"], tuned["target"], tuned["exact"]) == (row["id"], "tuned", True)
        assert (base["id"], base["target"], base["exact"]) == (row["id"], "base", False)
        assert tuned["answer"] == tuned["expected"] and tuned["prompt"] == base["prompt"]


def test_a_match_says_whose_words_they_are(audit: Audit) -> None:
    attempts, by_attempt = audit.run.lines("attempts"), Counter[int]()
    for match in audit.run.lines("matches"):
        attempt = attempts[match["attempt"]]
        by_attempt[match["attempt"]] += 1
        said = attempt["answer"][match["char_start"] : match["char_end"]]
        assert len(said) == match["length"]  # the parrot speaks bytes
        if attempt["exact"]:
            assert said == attempt["expected"] and not match["in_prompt"]
    assert all(by_attempt[n] == 2 for n, a in enumerate(attempts) if a["exact"] and a["group"] == "train")


# ------------------------------------------------------------------ what was not given


def test_without_held_out_rows_there_is_no_floor_and_no_membership(tmp_path: Path) -> None:
    audit = quick(TOLD, tmp_path / "run", None, Parrot())
    line = only(rates(audit.run, "greedy", "all"))
    assert line["floor_n"] is None and line["excess"] is None and line["normalised"] is None
    assert audit.run.lines("membership") == [] and audit.verdict["flagged"] is None
    assert all(r["p_value"] is None and r["q_value"] is None for r in audit.run.lines("ranking"))
    said = only(audit.verdict["cannot_claim"])
    assert "no floor" in said and "--heldout" in said and "membership" in said
    assert "held-out" not in audit.verdict["sentences"][0]


def test_without_a_base_model_nothing_is_said_of_what_was_known_before(tmp_path: Path) -> None:
    audit = quick(TOLD, tmp_path / "run", HELD, None)
    line = only(rates(audit.run, "greedy", "all"))
    assert line["base_n"] is None and line["over_base"] is None
    assert only(audit.verdict["cannot_claim"]).startswith("No base model was given")
    assert {m["target"] for m in audit.run.lines("membership")} == {"tuned", "blind"}
    assert "reference" not in {f["measure"] for f in audit.run.lines("findings")}


def test_held_out_rows_that_all_stand_in_the_training_data_are_no_floor_at_all(tmp_path: Path) -> None:
    audit = quick(TOLD, tmp_path / "run", LEAKED, None)
    assert only(rates(audit.run, "greedy", "all"))["floor_n"] == 0
    assert any("no floor" in said for said in audit.verdict["cannot_claim"])
    assert audit.verdict["headline"]["excess"] is None


def test_data_of_which_nothing_can_be_measured_still_ends_in_a_verdict(tmp_path: Path) -> None:
    audit = remanence.audit(Parrot(), SHORT, heldout=SHORT[:1], out=tmp_path / "run", show_progress=False)
    assert audit.verdict["sentences"][0] == "None of the 2 rows could be measured."
    assert sum(audit.verdict["not_measured"].values()) == 2
    assert (tmp_path / "run" / "report.html").is_file()


class Mouth:
    """A parrot without its token table."""

    def __init__(self, told: tuple[Record, ...] = (), name: str = "mouth") -> None:
        parrot = Parrot(told, name)
        self.name, self.fingerprint = parrot.name, parrot.fingerprint
        self.render, self.decode, self.generate = parrot.render, parrot.decode, parrot.generate


def test_a_target_that_only_generates_is_really_asked_for_every_row(folder: Path) -> None:
    """The rates are those of the token table; what only the table can tell is not measured, and says so."""
    settings = {**SETTINGS, "generate": "all"}
    told = run_audit(Parrot(tuple(TOLD)), TRAIN, HELD, Parrot(name="egg"), folder / "table", AuditSettings(**settings))
    asked = run_audit(
        Mouth(tuple(TOLD)), TRAIN, HELD, Mouth(name="egg"), folder / "asked", AuditSettings(**settings), show=False
    )
    for by in ("all", "prefix", "length", "copies", "near"):
        assert rates(asked.run, "greedy", by) == rates(told.run, "greedy", by)
    assert all(line["n"] == 0 and line["rate"] is None for line in asked.run.lines("rates") if line["metric"] == "np")
    likelihood = [m for m in asked.run.lines("membership") if m["target"] != "blind"]
    assert likelihood and all(m["auc"] is None and "needs log-probabilities" in m["reason"] for m in likelihood)
    assert any("no log-probabilities" in sentence for sentence in asked.verdict["cannot_claim"])
    back = [r["id"] for r in asked.run.lines("ranking") if r["comes_back"]]
    assert sorted(back) == sorted(r["id"] for r in told.run.lines("ranking") if r["comes_back"])


def test_of_a_target_that_only_generates_a_sample_drawn_by_the_seed_is_asked(folder: Path) -> None:
    def rows_asked(name: str, seed: int) -> set[int]:
        settings = AuditSettings(**{**SETTINGS, "generate": "auto", "generate_rows": 5, "seed": seed})
        run = run_audit(Mouth(tuple(TOLD)), TRAIN, None, None, folder / name, settings, show=False).run
        assert next(r for r in run.lines("rates") if r["by"] == "all")["n"] == 5
        assert any("A sample of 5 of the" in note for note in run.read_json("verdict.json")["notes"])
        return {a["row"] for a in run.lines("attempts")}

    first = rows_asked("sample", 0)
    assert len(first) == 5 and rows_asked("again", 0) == first and rows_asked("other", 1) != first


# ------------------------------------------------------------------ the gate


@pytest.mark.parametrize(
    ("rule", "strikes"),
    [("excess>0.1", True), ("excess > 0.9", False), ("rate>=0.5", True), ("over_base_low<0", False), ("auc>0.6", True)],
)
def test_the_gate_strikes_when_its_rule_holds(tmp_path: Path, rule: str, strikes: bool) -> None:
    audit = quick(TOLD, tmp_path / "run", HELD, Parrot(), fail_if=rule)
    assert audit.failed is strikes
    assert audit.verdict["fail_if"] == {"rule": rule, "failed": strikes}


# ------------------------------------------------------------------ the folder


def strings(folder: Path) -> Iterator[str]:
    """Every string of every file of a run, tables unpacked."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield f"{table.schema.metadata} {table.to_pylist()}"
        elif path.is_file():
            yield path.read_text(encoding="utf-8")


def test_no_file_of_the_run_holds_a_path_of_this_machine(audit: Audit, folder: Path) -> None:
    assert len(list(audit.run.folder.rglob("*.*"))) > 12
    for text in strings(audit.run.folder):
        for secret in (str(folder), folder.name, str(Path.home())):
            assert secret not in text
    for path in audit.run.folder.rglob("*.*"):
        assert folder.name.encode() not in path.read_bytes()


def test_run_json_says_what_was_asked_of_what(audit: Audit) -> None:
    spec = json.loads((audit.run.folder / "run.json").read_text())
    assert spec["models"]["tuned"]["name"] == "parrot" and spec["models"]["base"]["name"] == "egg"
    assert spec["data"]["train"]["rows"] == len(TRAIN) and spec["data"]["heldout"]["rows"] == NUM_HELD + 2
    assert spec["settings"]["prefixes"] == [0, 4, 8] and spec["seed"] == 0 and "torch" in spec["versions"]


def test_the_same_audit_writes_the_same_bytes(audit: Audit, tmp_path: Path) -> None:
    again = remanence.audit(
        Parrot(tuple(TOLD)),
        TRAIN,
        heldout=[*HELD, *LEAKED],
        base=Parrot(name="egg"),
        out=tmp_path / "run",
        fail_if="excess>0.1",
        show_progress=False,
        **SETTINGS,
    )
    files = {p.relative_to(audit.run.folder): p.read_bytes() for p in audit.run.folder.rglob("*.*")}
    assert files == {p.relative_to(again.run.folder): p.read_bytes() for p in again.run.folder.rglob("*.*")}


def test_the_order_of_the_rows_does_not_matter_to_any_rate(audit: Audit, tmp_path: Path) -> None:
    again = quick(TOLD, tmp_path / "run", [*LEAKED, *HELD], Parrot(), train=TRAIN[::-1])
    assert again.run.lines("rates") == audit.run.lines("rates")


def test_a_rule_that_cannot_be_decided_is_said_so_and_never_passes(tmp_path: Path) -> None:
    audit = quick(TOLD, tmp_path / "run", LEAKED, None, fail_if="excess>0.01")
    assert audit.verdict["fail_if"] == {"rule": "excess>0.01", "failed": None}
    assert any("'excess>0.01' cannot be decided" in said for said in audit.verdict["cannot_claim"])
    assert audit.run.has("ranking.parquet")
    with pytest.raises(RemanenceError, match="cannot be decided"):
        _ = audit.failed


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"max_length": -5}, "max_length= must be at least 1, got -5"),
        ({"generate_rows": -1}, "generate_rows= must be at least 0"),
        ({"new_tokens": 0}, "new_tokens= must be at least 1"),
        ({"dtype": "int8"}, "dtype= is one of float32, bfloat16, float16, got 'int8'"),
        ({"loss_on": "prompt"}, "loss_on= is one of"),
        ({"prefixes": ()}, "prefixes= needs at least one value, for example 0,8,16,32"),
        ({"schemes": ()}, "schemes= needs at least one value"),
        ({"schemes": ("T=hot",)}, "Cannot read sampling scheme 'T=hot'"),
        (
            {"measures": ("los",)},
            "measures= may contain loss, zlib_ratio, min_k, min_k_plus_plus, reference, exact_memorization, "
            "probability, got 'los'",
        ),
        ({"p": 1.0}, "p= must be above 0 and below 1, got 1.0"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RemanenceError, match=re.escape(sentence)):
        _ = AuditSettings(**settings)


def test_a_measure_or_scheme_named_twice_counts_once() -> None:
    settings = AuditSettings(measures=("loss", "loss"), schemes=("T=1", "T=1.0"), prefixes=(8, 0, 8))
    assert (settings.measures, settings.schemes, settings.prefixes) == (("loss",), ("T=1",), (0, 8))


def test_enough_held_out_rows_allow_a_true_positive_rate(tmp_path: Path) -> None:
    """Thirty rows support a false-positive rate of 10 %: the parrot knows every row it was told."""
    audit = quick(TOLD, tmp_path / "run", pairs("more", sentences(7, 32)), None, train=TOLD)
    line = only([m for m in audit.run.lines("membership") if m["measure"] == "loss" and m["fpr"] == 0.1])
    assert line["reason"] is None and line["fpr_realised"] <= 0.1
    assert line["tpr"] == 1.0 and line["tpr_low"] < 1.0 == line["tpr_high"]


def test_held_out_rows_of_another_kind_are_called_no_fair_comparison(tmp_path: Path) -> None:
    """A classifier of the texts alone separates them."""
    greetings = [f"dear doctor, the visit on day {i} was fine and went as planned thank you" for i in range(14)]
    audit = quick(TOLD, tmp_path / "run", pairs("other", greetings), Parrot())
    assert "without the model" in only(audit.verdict["cannot_claim"])


@pytest.mark.parametrize("rule", ["", "rate", "rate>", "rate>ten", "rate>1e", "rate=0.1", "fame>0.1", "rate>0.1 or so"])
def test_a_rule_that_cannot_be_read_is_refused(rule: str) -> None:
    with pytest.raises(RemanenceError, match=r"write it like 'excess>0\.01'"):
        _ = read_rule(rule)


def test_a_single_row_that_comes_back_is_spoken_of_as_one(tmp_path: Path) -> None:
    audit = quick(TOLD[1:2], tmp_path / "run", None, None)
    first, second = audit.verdict["sentences"]
    assert first.startswith("1 of 18 measurable rows") and " can be extracted " in first
    assert second == "It occurs in the training data only once; it is row told-1."
