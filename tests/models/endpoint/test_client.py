"""Asking a server: many at once, again when it is busy, one sentence when it cannot be asked, and nothing twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from speaking import ByHeart, Fault, Server

from remanence.core.errors import RemanenceError
from remanence.models.endpoint.client import Client
from remanence.models.endpoint.settings import Address, EndpointSettings
from remanence.models.endpoint.transcript import NAME, Transcript
from remanence.models.endpoint.wire import Request

TEXTS = [f"row {n} says that the word is number {n}" for n in range(12)]
SOON = {"Retry-After": "0.05"}


def ask(n: int, room: int = 3) -> Request:
    return Request("completions", {"prompt": f"row {n} says", "max_tokens": room})


def client(server: Server, transcript: Transcript | None = None, model: str = "tune", **settings: Any) -> Client:
    chosen = EndpointSettings(**{"retries": 2, "timeout": 10.0, **settings})
    address = Address.parse(f"api:{model}@{server.url}")
    return Client(address, "tuned", chosen, transcript if transcript is not None else Transcript())


def run_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text("{}")
    return folder


def test_answers_come_in_the_order_of_the_requests_and_several_are_under_way() -> None:
    with Server(ByHeart(TEXTS)) as server:
        told = client(server, concurrency=4).ask([ask(n) for n in range(12)])
        assert [reply.text for reply in told] == [" that the word"] * 12
        assert told[0].finish == "length" and told[0].completion_tokens == 3 and told[0].prompt_tokens == 3
        assert len(server.seen) == 12 and server.most_at_once <= 4


def test_the_same_request_is_sent_once() -> None:
    with Server(ByHeart(TEXTS)) as server:
        one = client(server)
        assert one.missing([ask(1), ask(1), ask(2)]) == [ask(1), ask(2)]
        assert len({reply.text for reply in one.ask([ask(1), ask(1), ask(1)])}) == 1
        one.ask([ask(1)])
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, '{"error": {"message": "slow down"}}', SOON),
        Fault(500, "{}", SOON),
        Fault(503, "busy", {**SOON, "Content-Type": "text/plain"}),
        Fault(200, "{not json"),
        Fault(200, '{"choices": []}'),
        Fault(200, "<html>", {"Content-Type": "text/html"}),
    ],
)
def test_what_passes_is_tried_again(fault: Fault) -> None:
    with Server(ByHeart(TEXTS), faults=[fault]) as server:
        assert client(server).ask([ask(1)])[0].text == " that the word"
        assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("fault", "settings", "sentence"),
    [
        (Fault(429, '{"error": {"message": "slow"}}', SOON), {}, r"asked too much, .*status 429: slow: lower --req"),
        (Fault(500, "{}", SOON), {}, r"127\.0\.0\.1 failed 3 times"),
        (Fault(200, '{"choices": []}'), {}, r"does not answer in the OpenAI protocol \(no choices"),
        (Fault(hang=True), {"timeout": 0.2, "retries": 0}, r"gave no answer within 0\.2 s, 1 times: raise --timeout"),
    ],
)
def test_what_does_not_pass_is_one_sentence(fault: Fault, settings: dict[str, Any], sentence: str) -> None:
    with Server(ByHeart(TEXTS), faults=[fault] * 3) as server, pytest.raises(RemanenceError, match=sentence):
        client(server, **settings).ask([ask(1)])


def test_a_wrong_key_a_wrong_model_and_no_server_are_one_sentence_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-key")
    with Server(ByHeart(TEXTS), key="another") as server:
        with pytest.raises(RemanenceError, match=r"refuses the key: put one that may use tune into MY_KEY") as told:
            client(server, api_key_env="MY_KEY").ask([ask(1)])
        assert "secret-key" not in str(told.value)
    with Server(ByHeart(TEXTS)) as server:
        with pytest.raises(RemanenceError, match=r"has no model folder-model, or no /completions"):
            client(server, model="/srv/folder-model").ask([ask(1)])
        gone = client(server, retries=0)
    with pytest.raises(RemanenceError, match=r"127\.0\.0\.1 cannot be reached: is the server running"):
        gone.ask([ask(1)])


def test_a_request_that_the_server_refuses_is_an_answer_without_text() -> None:
    refusal = Fault(400, json.dumps({"error": {"message": "tune is too small for this prompt"}}))
    with Server(ByHeart(TEXTS), faults=[refusal]) as server:
        told = client(server, concurrency=1).ask([ask(1), ask(2)])
        assert told[0].refused == "the server refused it with status 400: tune is too small for this prompt"
        assert told[1].text == " that the word"


def test_the_key_goes_to_the_server_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    folder = run_folder(tmp_path / "run")
    with Server(ByHeart(TEXTS), key="secret-key") as server:
        client(server, Transcript(folder)).ask([ask(1)])
        assert server.seen[0]["key"] == "Bearer secret-key"
    written = (folder / NAME).read_text()
    assert "secret-key" not in written and "/srv/" not in written and server.url not in written
    line = json.loads(written)
    assert (line["host"], line["model"], line["request"]["prompt"]) == ("127.0.0.1", "tune", "row 1 says")
    assert line["response"]["text"] == " that the word"


def test_what_was_answered_before_a_failure_is_kept_and_not_asked_again(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    broken = [Fault(500, "{}", SOON)] * 9
    with Server(ByHeart(TEXTS), faults=broken, after=5) as server:
        with pytest.raises(RemanenceError, match=r"; 5 answers are kept, add --resume to go on\."):
            client(server, Transcript(folder), concurrency=1, retries=0).ask([ask(n) for n in range(8)])
        server.faults.clear()
        server.seen.clear()
        told = client(server, Transcript(folder)).ask([ask(n) for n in range(8)])
        assert len(told) == 8 and len(server.seen) == 3


def test_half_a_line_of_a_killed_process_is_forgotten(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    with Server(ByHeart(TEXTS)) as server:
        client(server, Transcript(folder)).ask([ask(1), ask(2)])
        with (folder / NAME).open("a") as handle:
            handle.write('{"key": "00')
        again = Transcript(folder)
        assert len(again) == 2
        client(server, again).ask([ask(1), ask(2), ask(3)])
        assert len(server.seen) == 3
    assert len(Transcript(folder)) == 3


def test_before_the_folder_is_a_run_nothing_is_written(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "run")
    with Server(ByHeart(TEXTS)) as server:
        client(server, transcript).ask([ask(1)])
        assert not (tmp_path / "run").exists()
        folder = run_folder(tmp_path / "run")
        client(server, transcript).ask([ask(2)])
    assert len((folder / NAME).read_text().splitlines()) == 2
    assert transcript.spent() == {"requests": 2, "refused": 0, "prompt_tokens": 6, "completion_tokens": 6}


def test_a_replay_sends_nothing_and_says_what_it_lacks(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    with Server(ByHeart(TEXTS)) as server:
        first = client(server, Transcript(folder)).ask([ask(1)])
    again = client(server, Transcript(run_folder(tmp_path / "new"), folder))
    assert again.ask([ask(1)]) == first
    assert (tmp_path / "new" / NAME).read_text() == (folder / NAME).read_text()
    with pytest.raises(RemanenceError, match=r"replayed run has no answer to 1 of 2 requests"):
        again.ask([ask(1), ask(2)])
    with pytest.raises(RemanenceError, match=r"no transcript\.jsonl in elsewhere"):
        Transcript(None, tmp_path / "elsewhere")


def test_no_more_requests_are_sent_than_allowed() -> None:
    with Server(ByHeart(TEXTS)) as server:
        one = client(server, max_requests=3)
        one.ask([ask(1), ask(2)])
        with pytest.raises(RemanenceError, match="--max-requests 3 is used up"):
            one.ask([ask(n) for n in range(4)])
        assert len(server.seen) == 2


def test_requests_are_begun_no_faster_than_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """600 a minute: every turn is a tenth of a second after the one before it, by the clock that is asked."""
    waits: list[float] = []

    async def nap(seconds: float) -> None:
        waits.append(seconds)

    with Server(ByHeart(TEXTS)) as server:
        one = client(server, requests_per_minute=600)
        monkeypatch.setattr("remanence.models.endpoint.client.time.monotonic", lambda: 100.0)
        monkeypatch.setattr("remanence.models.endpoint.client.asyncio.sleep", nap)

        async def turns() -> None:
            for _ in range(3):
                await one._pace()

        asyncio.run(turns())
    assert waits == pytest.approx([0.0, 0.1, 0.2])


def test_a_running_loop_is_no_hindrance() -> None:
    """In a notebook a loop is running already."""
    with Server(ByHeart(TEXTS)) as server:
        one = client(server)

        async def cell() -> str:
            return one.ask([ask(1)])[0].text

        assert asyncio.run(cell()) == " that the word"
