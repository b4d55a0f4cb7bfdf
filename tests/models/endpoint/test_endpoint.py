"""A server as a target, held against the same model on this machine: the same token table, the same answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "jobs"))

import memorizers
import tiny_models
from memorizers import LEARNED, UNSEEN
from speaking import ByHeart, Model, Server

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.target import Generates, Prompt, Scores, cut
from remanence.engine.endpoints import open_endpoints
from remanence.engine.opening import open_model
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.endpoint.endpoint import Endpoint, ScoringEndpoint
from remanence.models.endpoint.settings import EndpointSettings
from remanence.models.endpoint.words import Words
from remanence.models.huggingface import HuggingFace

ROWS = [*LEARNED, *UNSEEN]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that learned eight rows by heart."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    base = tiny_models.save_model(folder / "base", "llama", tokenizer=tiny_models.make_tokenizer(
        chat_template=tiny_models.MARKED_TEMPLATE))  # fmt: skip
    return memorizers.overfit(base, folder / "tuned", LEARNED)


@pytest.fixture(scope="module")
def local(tuned: Path) -> HuggingFace:
    return open_model(tuned, AuditSettings())


@pytest.fixture(scope="module")
def server(tuned: Path) -> Iterator[Server]:
    """The same model on a server that gives everything."""
    with Server(Model(tuned), scores=True, ids=True, continues=True) as running:
        yield running


def opened(server: Server, tmp: Path, form: str = "pair", **asking: Any) -> Any:
    chosen = EndpointSettings(**{"retries": 0, **asking})
    target, _ = open_endpoints(
        f"api:tune@{server.url}",
        None,
        AuditSettings(),
        chosen,
        tmp / "run",
        form,
        lambda name: open_model(name, AuditSettings()),
    )
    return target


def prompts(target: Any, records: list[Record], prefix: int, num: int) -> list[Prompt]:
    found = [cut(target.render(record), record.id, prefix, num) for record in records]
    return [prompt for prompt in found if prompt is not None]


def test_what_the_server_gives_is_found_out(tuned: Path, server: Server, tmp_path: Path) -> None:
    assert opened(server, tmp_path).gives == ["text", "log-probabilities"]
    assert opened(server, tmp_path, tokenizer=str(tuned)).gives == ["text", "token ids", "log-probabilities"]
    assert opened(server, tmp_path, form="messages").gives == ["text", "begun replies"]
    with Server(Model(tuned)) as plain:
        assert opened(plain, tmp_path, tokenizer=str(tuned)).gives == ["text"]
        target = opened(plain, tmp_path, form="messages")
        assert target.gives == ["text"]
        assert isinstance(target, Generates) and not isinstance(target, Scores)
    assert isinstance(opened(server, tmp_path), Scores)


@pytest.mark.parametrize("ids", [True, False])
def test_with_its_tokenizer_the_token_table_is_that_of_the_local_model(
    tuned: Path, local: HuggingFace, tmp_path: Path, ids: bool
) -> None:
    """The oracle: log-probabilities over HTTP, as ids or as text, against the local pass."""
    columns = ["gap", "logprob", "logprob[T=1]", "mean", "rank"]
    with Server(Model(tuned), scores=True, ids=ids) as server:
        far = list(opened(server, tmp_path, tokenizer=str(tuned)).score(ROWS, columns))
    near = list(local.score(ROWS, columns))
    assert len(far) == len(near) == 16
    for a, b in zip(far, near, strict=True):
        assert isinstance(a, TokenRow) and isinstance(b, TokenRow)
        assert a.rendered.ids.tolist() == b.rendered.ids.tolist() and a.text == b.text
        assert sorted(a.columns) == ["gap", "logprob", "logprob[T=1]", "rank"]  # the mean needs the whole vocabulary
        for name in ("gap", "logprob", "logprob[T=1]"):
            np.testing.assert_allclose(a.columns[name], b.columns[name], atol=2e-4)
        assert (a.hits() == b.hits()).all()
        few = (b.columns["rank"] >= 0) & (b.columns["rank"] < 5)
        assert (a.columns["rank"][few] == b.columns["rank"][few]).all()


def test_without_its_tokenizer_a_word_holds_the_tokens_that_begin_in_it(
    local: HuggingFace, server: Server, tmp_path: Path
) -> None:
    """The words of a row are as likely together as its tokens are, and a word is a hit if all of its tokens are."""
    rows = [Record(r.id, text=f"{r.prompt}{r.completion}") for r in ROWS]
    far = list(opened(server, tmp_path, form="text").score(rows, ["logprob", "gap", "rank"]))
    plain = [Record(r.id, text=f"{r.text}") for r in rows]
    near = list(local.score(plain, ["logprob", "gap", "rank"]))
    hits = 0
    for a, b, _row in zip(far, near, rows, strict=True):
        assert isinstance(a, TokenRow) and isinstance(b, TokenRow)
        sizes = [len(local.decode(b.rendered.ids[i : i + 1])) for i in range(b.rendered.ids.size - 1)]
        inside = np.cumsum([0, *sizes[:-1]]) >= len("Question")  # the first word is always given
        own = b.columns["logprob"][: len(sizes)][inside]
        assert float(np.nansum(a.columns["logprob"])) == pytest.approx(float(own.sum()), abs=2e-3)
        hits += int(a.hits().sum())
        assert a.hits().all() == False and (a.columns["gap"][1:] > 0).tolist() == a.hits()[1:].tolist()  # noqa: E712
    assert hits > 8 * 10


@pytest.mark.parametrize("prefix", [0, 3, 8])
@pytest.mark.parametrize("ids", [True, False])
def test_with_its_tokenizer_the_answers_are_those_of_the_local_model(
    tuned: Path, local: HuggingFace, tmp_path: Path, prefix: int, ids: bool
) -> None:
    with Server(Model(tuned), ids=ids) as server:
        target = opened(server, tmp_path, tokenizer=str(tuned))
        asked = prompts(target, ROWS, prefix, 12)
        far = target.answers(asked, 12)
    near = local.generate(prompts(local, ROWS, prefix, 12), 12)
    refused = [answer for answer in far if isinstance(answer, str)]
    assert len(refused) < 8 and all("reads as other tokens" in reason for reason in refused)
    assert not (ids and refused)
    exact = 0
    for prompt, a, b in zip(asked, far, near, strict=True):
        if not isinstance(a, str):
            whole = b.ids.size >= 12 and b.ids[:12].tolist() == prompt.expected.tolist()
            assert (a.ids.tolist() == prompt.expected.tolist()) == whole
            exact += whole
    assert exact >= 4


def test_the_end_of_a_row_must_be_an_end(tuned: Path, local: HuggingFace, server: Server, tmp_path: Path) -> None:
    """The last tokens of a learned row, its end among them, come back; the same text that goes on does not end."""
    target = opened(server, tmp_path, tokenizer=str(tuned))
    row = target.render(LEARNED[0])
    size = int(row.scored.sum())
    prompt = cut(row, "a", size - 6, 6)
    assert prompt is not None and int(prompt.expected[-1]) == local.tokenizer.eos_token_id
    assert target.generate([prompt], 6)[0].ids.tolist() == prompt.expected.tolist()
    assert target.cutter.read(prompt.ids, prompt.expected, local.decode(prompt.expected), "length").size == 5
    assert target.cutter.read(prompt.ids, prompt.expected, local.decode(prompt.expected) + " and", "stop").size == 6


def test_an_answer_that_was_cut_off_is_asked_for_again_with_more_room(tmp_path: Path) -> None:
    """One token a letter: the usual room for six words is too little, and the target notices."""

    class Letters(ByHeart):
        def complete(self, prompt: str, room: int) -> Any:
            whole = super().complete(prompt, 99)
            return whole._replace(text=whole.text[:room], finish="length" if len(whole.text) > room else "stop")

    row = Record(
        "a",
        prompt="Who called?",
        completion=" Bartholomew Featherstonehaugh telephoned unexpectedly from Wolverhampton yesterday",
    )
    with Server(Letters([f"{row.prompt}{row.completion}"])) as server:
        target = opened(server, tmp_path)
        answer = target.generate(prompts(target, [row], 0, 6), 6)[0]
        assert answer.text == " Bartholomew Featherstonehaugh telephoned unexpectedly from Wolverhampton"
        rooms = [body["max_tokens"] for body in server.seen if body.get("prompt") == "Who called?"]
    assert len(rooms) == 2 and rooms[1] == 4 * rooms[0]


def test_a_chat_is_asked_for_its_reply_and_a_begun_reply_only_where_it_is_gone_on_with(tmp_path: Path) -> None:
    turns = ({"role": "user", "content": "Who called?"}, {"role": "assistant", "content": "Anna Berg came on Monday"})
    row = Record("a", messages=turns)
    voice = ByHeart(["user: Who called?\nassistant: Anna Berg came on Monday"])
    with Server(voice, continues=True) as server:
        target = opened(server, tmp_path, form="messages")
        assert [a.text for p in (0, 2) for a in target.generate(prompts(target, [row], p, 3), 3)] == [
            "Anna Berg came",
            " came on Monday",
        ]
        assert server.seen[-1]["messages"] == [turns[0], {"role": "assistant", "content": "Anna Berg"}]
        assert server.seen[-1]["continue_final_message"] is True and server.seen[-1]["add_generation_prompt"] is False
    with Server(voice) as server:
        target = opened(server, tmp_path, form="messages")
        assert target.answers(prompts(target, [row], 2, 3), 3) == [
            "the server does not go on with a reply that was begun"
        ]
        with pytest.raises(RemanenceError, match=r"Row 'a' got no answer from api:tune"):
            target.generate(prompts(target, [row], 2, 3), 3)


def test_greedy_is_temperature_zero_and_schemes_are_sent_as_they_are(tmp_path: Path) -> None:
    row = Record("a", text="the cat sat on the mat and then it went home")
    with Server(ByHeart([str(row.text)])) as server:
        target = opened(server, tmp_path, form="text")
        prompt = prompts(target, [row], 1, 4)[0]
        greedy = target.request(prompt, None, 7).body
        assert (greedy["temperature"], greedy["seed"], "top_p" in greedy) == (0.0, 7, False)
        drawn = target.request(prompt, SamplingScheme(0.8, top_k=40, top_p=0.9)).body
        assert (drawn["temperature"], drawn["top_k"], drawn["top_p"]) == (0.8, 40, 0.9)
        told = target.answers([prompt, prompt], 4, SamplingScheme(0.8), seed=3)
        assert sorted(body["seed"] for body in server.seen[-2:]) == [3, 4]  # two draws of one prompt are two draws
        assert all(not isinstance(answer, str) for answer in told)
        refused = target.answers([prompt], 4, SamplingScheme(0.8, top_k=40))[0]
        assert "status 422: Unexpected fields" in refused


def test_a_server_that_cannot_be_asked_at_all_is_one_sentence(tmp_path: Path) -> None:
    class Deaf:
        def complete(self, prompt: str, room: int) -> Any:
            raise AssertionError("not reached")

    with Server(Deaf()) as server:
        server._spoken = lambda path, body: (400, '{"error": {"message": "max_tokens is not supported"}}')  # type: ignore[method-assign]
        with pytest.raises(RemanenceError, match=r"one token after 'Hello', the server refused it .*max_tokens is not"):
            opened(server, tmp_path)


def test_words_and_scores_meet_in_one_target(server: Server, tmp_path: Path) -> None:
    target = opened(server, tmp_path)
    assert isinstance(target, ScoringEndpoint) and isinstance(target, Endpoint) and isinstance(target.cutter, Words)
    assert (target.name, target.host, target.cut, target.vocabulary) == ("api:tune", "127.0.0.1", "words", 0)
