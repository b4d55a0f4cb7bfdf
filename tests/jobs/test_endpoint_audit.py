"""The audit against a server: the same rates as on this machine, what is missing said, and nothing asked twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memorizers import LEARNED, UNSEEN
from speaking import ByHeart, Fault, Model, Server

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.rescore import rescore
from remanence.models.endpoint.settings import EndpointSettings
from remanence.models.endpoint.transcript import NAME
from remanence.report.terminal import verdict_plain

GRID: dict[str, Any] = {"prefixes": (0, 8), "new_tokens": 12, "budgets": (6, 12), "show_progress": False}
TEXTS = [f"{r.prompt}{r.completion}" for r in LEARNED]
PROMPTS = 25
"""Sixteen rows after no words of their own, and the nine of them that have twelve more after eight."""
SENT = PROMPTS + 2
"""And the two requests that find out what the server gives."""


def audit(server: Server | str, out: Path, train: list[Record] = LEARNED, **more: Any) -> Audit:
    url = server if isinstance(server, str) else server.url
    asking = EndpointSettings(**{"retries": 0, **more.pop("asking", {})})
    return remanence.audit(
        f"api:tune@{url}", train, heldout=more.pop("heldout", UNSEEN), out=out, endpoint=asking, **{**GRID, **more}
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Audit, Server]]:
    """A server that knows eight rows by heart and gives text alone; rows are counted in words."""
    with Server(ByHeart(TEXTS)) as server:
        yield audit(server, tmp_path_factory.mktemp("asked") / "run"), server


def tables(run: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in sorted(run.iterdir()) if f.suffix in {".parquet", ".json"}}


def test_rows_known_by_heart_come_back_and_others_do_not(asked: tuple[Audit, Server]) -> None:
    """Every row that is long enough is asked at both prefix lengths."""
    found, server = asked
    line = found.verdict["headline"]
    assert (line["hits"], line["n"], line["floor"]["hits"], line["floor"]["n"]) == (8, 8, 0, 8)
    assert line["excess_low"] > 0 and line["auc"] is None
    assert len(server.seen) == SENT
    assert len(found.run.lines("attempts")) == PROMPTS
    assert [r["longest_run"] for r in found.run.lines("ranking")] == [12] * 8
    assert all(r["q_value"] == pytest.approx(1 / 9) for r in found.run.lines("ranking"))  # longest run, conformal


def test_what_needs_log_probabilities_is_not_measured_and_says_so(asked: tuple[Audit, Server]) -> None:
    found, _ = asked
    sampled = [r for r in found.run.lines("rates") if r["metric"] == "np"]
    assert sampled and all(r["n"] == 0 and r["rate"] is None for r in sampled)
    assert all(m["auc"] is None and m["reason"] for m in found.run.lines("membership") if m["target"] != "blind")
    assert any("no log-probabilities: extraction by sampling" in s for s in found.verdict["cannot_claim"])
    reasons = {f["reason"] for f in found.run.lines("findings") if f["measure"] not in {"discoverable"}}
    assert reasons == {"it needs log-probabilities, and the model was only to be had as text"}
    text = verdict_plain(found.run)
    assert "not measured" in text and "was found to give text" in text and "is a word" in " ".join(text.split())
    for row in LEARNED:
        assert str(row.completion)[:20] not in text


def test_the_report_is_whole_and_hides_the_text(asked: tuple[Audit, Server]) -> None:
    found, _ = asked
    page = (found.run.folder / "report.html").read_text()
    assert "Every row was prompted at every prefix length" in page and "needs log-probabilities" in page
    assert "token table singles out" not in page
    assert not any(str(row.completion)[:20] in page for row in LEARNED)


def test_the_run_folder_names_no_path_and_only_the_host(asked: tuple[Audit, Server]) -> None:
    found, server = asked
    written = "".join(f.read_text() for f in found.run.folder.iterdir() if f.suffix in {".json", ".jsonl"})
    assert server.url not in written and "/srv/" not in written and "http" not in written
    assert found.run.spec["models"]["tuned"] | {"fingerprint": ""} == {
        "name": "api:tune",
        "fingerprint": "",
        "family": "endpoint",
        "host": "127.0.0.1",
        "cut": "words",
        "gives": ["text"],
    }
    spent = found.run.read_json("asked.json")["spent"]
    lines = [json.loads(line) for line in (found.run.folder / NAME).read_text().splitlines()]
    assert spent["requests"] == len(lines) == SENT
    assert spent["completion_tokens"] == sum(line["response"]["completion_tokens"] for line in lines)


def test_a_replay_without_the_server_writes_the_same_bytes(asked: tuple[Audit, Server], tmp_path: Path) -> None:
    found, _ = asked
    nobody = "http://127.0.0.1:9/v1"
    again = audit(nobody, tmp_path / "again", asking={"replay": found.run.folder})
    assert tables(again.run.folder) == tables(found.run.folder)
    assert len((again.run.folder / NAME).read_text().splitlines()) == SENT
    with pytest.raises(RemanenceError, match=r"no answer to \d+ of \d+ requests .*replay with the data and settings"):
        audit(nobody, tmp_path / "other", asking={"replay": found.run.folder}, new_tokens=14)


def test_a_stopped_audit_goes_on_where_it_was_and_ends_with_the_same_bytes(
    asked: tuple[Audit, Server], tmp_path: Path
) -> None:
    found, _ = asked
    broken = [Fault(500, "{}", {"Retry-After": "0.01"})] * 40
    with Server(ByHeart(TEXTS), faults=broken, after=20) as server:
        with pytest.raises(RemanenceError, match=r"failed 1 times.*20 answers are kept, add --resume"):
            audit(server, tmp_path / "run", asking={"concurrency": 1})
        server.faults.clear()
        server.seen.clear()
        again = audit(server, tmp_path / "run", resume=True)
        assert len(server.seen) == SENT - 20
    assert tables(again.run.folder) == tables(found.run.folder)


def test_no_row_is_sent_when_it_would_cost_too_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(ByHeart(TEXTS)) as server:
        with pytest.raises(RemanenceError, match=r"needs 27 requests, more than --max-requests 26; no row was sent"):
            audit(server, tmp_path / "many", asking={"max_requests": 26})
        with pytest.raises(RemanenceError, match=r"may cost .*no row was sent"):
            audit(server, tmp_path / "dear", asking={"price_in": 1, "price_out": 1000, "max_cost": 0.001})
        assert [body["prompt"] for body in server.seen] == ["Hello", "Hello there, hello"] * 2
        audit(server, tmp_path / "some", asking={"price_in": 1, "price_out": 1}, show_progress=True)
    told = " ".join(capsys.readouterr().err.split())
    assert "To ask: 25 requests, about" in told and "Spent: 27 requests" in told


def test_a_prompt_that_the_server_refuses_is_in_no_denominator(tmp_path: Path) -> None:
    refusal = Fault(400, json.dumps({"error": {"message": "filtered"}}))
    with Server(ByHeart(TEXTS), faults=[refusal], after=2) as server:
        found = audit(server, tmp_path / "run", prefixes=(0,), asking={"concurrency": 1})
    assert (found.verdict["headline"]["hits"], found.verdict["headline"]["n"]) == (7, 7)
    reason = "the server refused it with status 400: filtered"
    assert found.verdict["not_measured"] == {reason: 1}
    assert [(r["row"], r["reason"]) for r in found.run.lines("refused")] == [(0, reason)]
    assert any("1 prompt got no reply" in note for note in found.verdict["notes"])


def test_a_base_model_may_be_a_server_too_or_a_folder(llama: Path, tmp_path: Path) -> None:
    """Both sides are asked the same questions and read in the same words."""
    with Server(ByHeart(TEXTS)) as server, Server(ByHeart(TEXTS[:2])) as below:
        both = audit(server, tmp_path / "both", base=f"api:tune@{below.url}", prefixes=(0,))
        folder = audit(server, tmp_path / "folder", base=llama, prefixes=(0,))
    assert (both.verdict["headline"]["base"]["hits"], both.verdict["headline"]["over_base"]) == (2, 0.75)
    assert (folder.verdict["headline"]["base"]["hits"], folder.verdict["headline"]["base"]["n"]) == (0, 8)
    spoken = [json.loads(line)["role"] for line in (both.run.folder / NAME).read_text().splitlines()]
    assert spoken.count("base") == spoken.count("tuned") == 18


@pytest.mark.slow
def test_with_a_table_too_a_prompt_that_the_server_refuses_is_left_out(tuned: Path, tmp_path: Path) -> None:
    """Two requests to look, sixteen rows to score, and then one of the worst that is not answered."""
    refusal = Fault(400, json.dumps({"error": {"message": "filtered"}}))
    with Server(Model(tuned), scores=True, faults=[refusal], after=18) as server:
        found = audit(server, tmp_path / "run", prefixes=(0,), asking={"concurrency": 1})
    assert found.verdict["headline"]["n"] == 8  # the rate is the table's
    assert [r["reason"] for r in found.run.lines("refused")] == ["the server refused it with status 400: filtered"]
    assert len(found.run.lines("attempts")) == 15


@pytest.mark.slow
@pytest.mark.parametrize("scores", [False, True])
def test_with_the_tokenizer_the_rates_are_those_of_the_local_audit(
    tuned: Path, llama: Path, tmp_path: Path, scores: bool
) -> None:
    """The oracle of it all: the same model on this machine with --generate all, row by row."""
    train = [*LEARNED[:4], *UNSEEN[:2]]
    held = UNSEEN[4:]
    here = remanence.audit(tuned, train, heldout=held, base=llama, out=tmp_path / "here", generate="all", **GRID)
    with Server(Model(tuned), scores=scores, ids=True) as server:
        there = audit(
            server,
            tmp_path / "there",
            train,
            heldout=held,
            base=llama,
            generate="all",
            asking={"tokenizer": str(tuned)},
        )
    for by in ("all", "prefix", "budget", "length", "copies"):
        near, far = (
            [r for r in a.run.lines("rates") if (r["metric"], r["by"]) == ("greedy", by)] for a in (here, there)
        )
        assert near == far and near
    near, far = (
        {(r["id"], r["comes_back"], r["shortest_prefix"]) for r in a.run.lines("ranking")} for a in (here, there)
    )
    assert near == far
    measured = {m["measure"] for m in there.run.lines("membership") if m["auc"] is not None and m["target"] == "tuned"}
    if not scores:
        assert measured == set()
        return
    assert measured == {"loss", "zlib_ratio", "min_k", "reference"}  # Min-K%++ needs the whole vocabulary
    auc = [{m["measure"]: m["auc"] for m in a.run.lines("membership") if m["target"] == "tuned"} for a in (here, there)]
    assert all(auc[0][name] == auc[1][name] for name in measured)
    np_T1 = [[r for r in a.run.lines("rates") if r["detail"].startswith("T=1 ")] for a in (here, there)]
    assert np_T1[0] == np_T1[1] and np_T1[0]
    assert tables(rescore(there.run).run.folder)["rates.parquet"] == tables(there.run.folder)["rates.parquet"]


def test_scoring_again_needs_no_server(asked: tuple[Audit, Server]) -> None:
    found, _ = asked
    before = tables(found.run.folder)
    rescore(found.run)
    assert tables(found.run.folder) == before


def test_chats_are_asked_for_their_reply(tmp_path: Path) -> None:
    def chat(row: Record) -> Record:
        return Record(
            row.id,
            messages=(
                {"role": "user", "content": str(row.prompt)},
                {"role": "assistant", "content": str(row.completion).strip()},
            ),
        )

    train, held = [chat(r) for r in LEARNED], [chat(r) for r in UNSEEN]
    told = [f"user: {r.prompt}\nassistant: {str(r.completion).strip()}" for r in LEARNED]
    with Server(ByHeart(told)) as server:
        found = audit(server, tmp_path / "run", train, heldout=held)
    line = found.verdict["headline"]
    assert (line["hits"], line["n"], line["floor"]["hits"]) == (8, 8, 0)
    at = {r["value"]: (r["hits"], r["n"]) for r in found.run.lines("rates") if r["by"] == "prefix"}
    assert at == {"0": (8, 8), "8": (0, 0)}  # a begun reply cannot be asked for here: not measurable, never zero
    assert any("does not go on with a reply that was begun" in note for note in found.verdict["notes"])
    with Server(ByHeart([])) as server:
        nothing = audit(server, tmp_path / "nothing", train, heldout=held, prefixes=(0,))
    assert "extraction by sampling was not measured" in nothing.verdict["sentences"][1]


def test_what_a_server_cannot_do_is_refused_before_it_is_asked(tmp_path: Path, tuned: Path) -> None:
    with Server(ByHeart(TEXTS)) as server:
        with pytest.raises(RemanenceError, match="--generate none leaves nothing to measure"):
            audit(server, tmp_path / "none", generate="none")
        with pytest.raises(RemanenceError, match="use --executor serial"):
            audit(server, tmp_path / "ray", executor="ray")
    with pytest.raises(RemanenceError, match="neither model is api:MODEL@URL"):
        remanence.audit(tuned, LEARNED, out=tmp_path / "local", endpoint=EndpointSettings(concurrency=2))
