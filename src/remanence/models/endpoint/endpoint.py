"""A model behind a server as a target: generated text, and log-probabilities if the server returns them.

What a server can do is found out once, with a few requests that hold none of the user's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.record import Record
from remanence.core.run import fingerprint
from remanence.core.scheme import SamplingScheme
from remanence.core.table import IntsT, Rendered, TokenRow
from remanence.core.target import Answer, Prompt, rendered_rows
from remanence.models.endpoint.budget import Estimate, tokens_of
from remanence.models.endpoint.cutter import Cutter, started
from remanence.models.endpoint.logprobs import by_token, by_unit
from remanence.models.endpoint.tokens import Tokens
from remanence.models.endpoint.wire import Reply, Request

TOP = 5
"""Likeliest tokens asked for beside the row's own: what the strictest servers give."""
PLAIN = SamplingScheme()


class Asks(Protocol):
    """Something that answers requests: a client of a server, or a model on this machine in its place."""

    def ask(self, requests: Sequence[Request]) -> list[Reply]: ...
    def missing(self, requests: Sequence[Request]) -> list[Request]: ...


@dataclass(frozen=True)
class Gives:
    """What a server can do."""

    ids: bool = False
    """Takes token ids as a prompt."""
    continues: bool = False
    """Goes on with a reply that was begun."""
    scores: bool = False
    """Tells the log-probabilities of a prompt."""

    @property
    def words(self) -> list[str]:
        """For `run.json`."""
        named = {"token ids": self.ids, "begun replies": self.continues, "log-probabilities": self.scores}
        return ["text", *(name for name, able in named.items() if able)]


@dataclass
class Endpoint:
    """A model that says text and nothing else. Satisfies `Generates`."""

    asks: Asks
    cutter: Cutter
    able: Gives
    name: str
    host: str
    family: str = "endpoint"

    fingerprint: str = field(init=False)
    """Hash of the names of model and host: the weights are not to be seen."""

    def __post_init__(self) -> None:
        self.fingerprint = fingerprint(self.name.encode(), self.host.encode())

    @property
    def cut(self) -> str:
        """What rows are cut into: words, or the tokens of a named tokenizer."""
        return self.cutter.name

    @property
    def gives(self) -> list[str]:
        """What the server was found to give."""
        return self.able.words

    def render(self, record: Record) -> Rendered:
        """The row in words or tokens; of a chat, the last reply is what is asked for."""
        return self.cutter.render(record)

    def decode(self, ids: IntsT) -> str:
        """Text of the units."""
        return self.cutter.decode(ids)

    def request(self, prompt: Prompt, scheme: SamplingScheme | None = None, seed: int = 0, more: int = 1) -> Request:
        """What is sent for a prompt; `more` times the usual room for the answer. Raises `NotMeasured`."""
        body: dict[str, Any] = {"max_tokens": more * self.cutter.room(prompt.expected), "seed": seed}
        body |= {"temperature": 0.0} if scheme is None else {"temperature": scheme.temperature}
        if scheme is not None and scheme.top_p is not None:
            body["top_p"] = scheme.top_p
        if scheme is not None and scheme.top_k is not None:
            body["top_k"] = scheme.top_k
        turns = self.cutter.marks.turns(prompt.ids)
        if turns is not None:
            return self._chat(prompt, turns, body)
        if not prompt.ids.size:
            raise NotMeasured("nothing would be shown, and a server needs a prompt")
        if self.able.ids and isinstance(self.cutter, Tokens):
            return Request("completions", {"prompt": prompt.ids.tolist(), **body}, prompt.ids.size)
        text = self.cutter.shown(prompt.ids)
        if not text:
            raise NotMeasured("nothing would be shown, and a server needs a prompt")
        return Request("completions", {"prompt": text, **body}, self._tokens(prompt.ids, text))

    def _chat(self, prompt: Prompt, turns: list[tuple[str, list[int]]], body: dict[str, Any]) -> Request:
        texts = [(role, self.cutter.decode(np.array(ids, np.int32))) for role, ids in turns]
        messages = [{"role": role, "content": text} for role, text in texts[:-1]]
        if turns[-1][1]:
            if not self.able.continues:
                raise NotMeasured("the server does not go on with a reply that was begun")
            messages.append({"role": texts[-1][0], "content": texts[-1][1]})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        text = "".join(message["content"] for message in messages)
        return Request("chat", {"messages": messages, **body}, self._tokens(prompt.ids, text))

    def _tokens(self, ids: IntsT, text: str) -> int:
        return ids.size if isinstance(self.cutter, Tokens) else tokens_of(text)

    def answers(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer | str]:
        """One answer per prompt, in order, or why there is none. Draws of one call are independent of each other."""
        answers: list[Answer | str] = [""] * len(prompts)
        room, left = 1, list(range(len(prompts)))
        while left:
            asked: dict[int, Request] = {}
            for i in left:
                try:
                    asked[i] = self.request(prompts[i], scheme, seed if scheme is None else seed + i, room)
                except NotMeasured as why:
                    answers[i] = why.reason
            left = []
            for i, reply in zip(asked, self.asks.ask(list(asked.values())), strict=True):
                answer = self._answer(prompts[i], reply, new_tokens, scheme, seed)
                if answer is None and room < MOST:
                    left.append(i)
                answers[i] = answer or "its answer was cut off before enough words were said"
            room *= 4
        return answers

    def _answer(
        self, prompt: Prompt, reply: Reply, new_tokens: int, scheme: SamplingScheme | None, seed: int
    ) -> Answer | str | None:
        if reply.refused is not None:
            return reply.refused
        generated = self.cutter.read(started(prompt), prompt.expected, reply.text, reply.finish)
        if generated is None:
            return None
        return Answer(generated[:new_tokens], self.decode(generated[:new_tokens]), scheme, seed)

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        """One answer per prompt, in order. Raises `RemanenceError` when there is none to one of them."""
        found: list[Answer] = []
        for prompt, answer in zip(prompts, self.answers(prompts, new_tokens, scheme, seed), strict=True):
            if isinstance(answer, str):
                raise RemanenceError(f"Row {prompt.record_id!r} got no answer from {self.name}: {answer}.")
            found.append(answer)
        return found

    def estimate(self, prompts: Sequence[Prompt]) -> Estimate:
        """What asking these comes to, without those that are answered already."""
        asked: list[Request] = []
        for prompt in prompts:
            try:
                asked.append(self.request(prompt))
            except NotMeasured:
                continue
        return Estimate.of(self.asks.missing(asked))


MOST = 16
"""An answer that fills this many times the usual room and is still short is given up."""


@dataclass
class ScoringEndpoint(Endpoint):
    """An endpoint whose server tells the log-probabilities of a prompt. Satisfies `Generates` and `Scores`."""

    @property
    def vocabulary(self) -> int:
        """Number of token ids, where the tokenizer is known; 0 = not known."""
        return len(self.cutter.tokenizer) if isinstance(self.cutter, Tokens) else 0

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """The token rows, with those of the columns that log-probabilities of the likeliest tokens can fill."""
        rows = rendered_rows(self, records)
        asked: dict[int, Request] = {}
        for i, row in enumerate(rows):
            try:
                if isinstance(row, Rendered):
                    asked[i] = self.scoring(row)
            except NotMeasured as why:
                rows[i] = why.reason
        replies = dict(zip(asked, self.asks.ask(list(asked.values())), strict=True))
        for i, row in enumerate(rows):
            yield row if isinstance(row, str) else self._row(row, replies[i], columns)

    def scoring(self, row: Rendered) -> Request:
        """What is sent to score a row: all of it, to be echoed."""
        ids = self.able.ids and isinstance(self.cutter, Tokens)
        prompt: Any = row.ids.tolist() if ids else self.cutter.shown(row.ids)
        return echoed(prompt, row.ids.size if isinstance(self.cutter, Tokens) else tokens_of(str(prompt)))

    def estimate_scoring(self, records: Sequence[Record]) -> Estimate:
        """What scoring these rows comes to, without those that are scored already."""
        asked: list[Request] = []
        for record in records:
            try:
                asked.append(self.scoring(self.render(record)))
            except NotMeasured:
                continue
        return Estimate.of(self.asks.missing(asked))

    def _row(self, row: Rendered, reply: Reply, columns: Sequence[str]) -> TokenRow | str:
        if reply.refused is not None or reply.logprobs is None:
            return reply.refused or "the server gave no log-probabilities for it"
        try:
            num = reply.prompt_tokens
            if isinstance(self.cutter, Tokens):
                found = by_token(reply.logprobs, row, num)
            else:
                sizes = [len(self.cutter.decode(row.ids[i : i + 1])) for i in range(row.ids.size)]
                found = by_unit(reply.logprobs, row, np.cumsum([0, *sizes[:-1]]), num)
        except NotMeasured as why:
            return why.reason
        found[PLAIN.column] = found["logprob"]
        kept = {name: values for name, values in found.items() if name in columns}
        return TokenRow(row, kept, self.decode(row.ids[row.supervised]))


def echoed(prompt: str | list[int], prompt_tokens: int = 0) -> Request:
    """A request for the log-probabilities of a prompt; one token is generated, because some servers want one."""
    body = {"prompt": prompt, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": TOP}
    return Request("completions", body, prompt_tokens)


def look(asks: Asks, cutter: Cutter, form: str) -> Gives:
    """What a server can do for rows of this form. Raises `RemanenceError` when it cannot even be asked."""
    if form == "messages":
        hello = [{"role": "user", "content": "Hello"}]
        _heard(asks, Request("chat", {"messages": hello, "max_tokens": 1, "temperature": 0.0}))
        begun = {"messages": [*hello, {"role": "assistant", "content": "Good"}], "max_tokens": 1, "temperature": 0.0}
        flags = {"add_generation_prompt": False, "continue_final_message": True}
        ended, open_ = asks.ask([Request("chat", begun), Request("chat", {**begun, **flags})])
        # a server that goes on writes neither the end of that reply nor the head of another one
        able = ended.refused is None and open_.refused is None
        return Gives(continues=able and 0 < open_.prompt_tokens < ended.prompt_tokens)
    _heard(asks, Request("completions", {"prompt": "Hello", "max_tokens": 1, "temperature": 0.0}))
    scored = asks.ask([echoed("Hello there, hello")])[0]
    logprobs = scored.logprobs
    scores = logprobs is not None and scored.prompt_tokens > 1 and len(logprobs.own) >= scored.prompt_tokens
    scores = scores and logprobs is not None and logprobs.own[1] is not None and len(logprobs.top[1]) > 1
    if not isinstance(cutter, Tokens):
        return Gives(scores=scores)
    ids = cutter.cut("Hello there")
    taken = asks.ask([Request("completions", {"prompt": ids, "max_tokens": 1, "temperature": 0.0})])[0]
    return Gives(ids=taken.refused is None and taken.prompt_tokens == len(ids), scores=scores)


def _heard(asks: Asks, hello: Request) -> None:
    reply = asks.ask([hello])[0]
    if reply.refused is not None:
        raise RemanenceError(f"Asked for one token after 'Hello', {reply.refused}.")
