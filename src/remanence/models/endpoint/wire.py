"""Plain values exchanged with a server: one request, one reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from remanence.core.run import fingerprint


@dataclass(frozen=True)
class Request:
    """One request, without the name of the model."""

    api: Literal["completions", "chat"]
    body: Mapping[str, Any]
    """JSON-ready: `prompt` or `messages`, `max_tokens`, `temperature`, ..."""
    prompt_tokens: int = 0
    """How many tokens the prompt has, by estimate; for the bill, not for the server."""

    def key(self, role: str, model: str) -> str:
        """What the answer is found by in a transcript: role, model and every parameter."""
        parts = (role, model, self.api, json.dumps(self.body, sort_keys=True, ensure_ascii=True))
        return fingerprint(*(part.encode() for part in parts))


@dataclass(frozen=True)
class Logprobs:
    """Log-probabilities of a prompt, token by token as the server cut it; lists of one length."""

    own: list[float | None]
    """[N] log p of each token, nats; None where nothing stands before it."""
    top: list[dict[str, float]]
    """[N] the likeliest tokens at each place with their log p."""
    tokens: list[str]
    """[N] text of each token."""
    offsets: list[int]
    """[N] character at which each token begins."""


@dataclass(frozen=True)
class Reply:
    """What came back: a text, or the sentence with which the server refused this one request."""

    text: str = ""
    finish: str | None = None
    """`length` = cut off at max_tokens; `stop` = the model ended it."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """As the server counted them."""
    logprobs: Logprobs | None = None
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What a transcript keeps of it."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reply:
        """The reply that a transcript kept."""
        values = dict(value)
        if values.get("logprobs") is not None:
            values["logprobs"] = Logprobs(**values["logprobs"])
        return cls(**values)


def read_reply(api: str, answer: Any) -> Reply:
    """The reply in the JSON of a server. Raises ValueError for what is not the protocol."""
    try:
        choice = answer["choices"][0]
        text = choice["text"] if api == "completions" else choice["message"]["content"]
        usage = cast("dict[str, Any]", answer.get("usage") or {})
        return Reply(
            text=text or "",
            finish=choice.get("finish_reason"),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            logprobs=_logprobs(choice.get("logprobs")) if api == "completions" else None,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no choices in the answer ({type(error).__name__})") from None


def _logprobs(returned: Any) -> Logprobs | None:
    if not returned or not returned.get("token_logprobs"):
        return None
    own = list(returned["token_logprobs"])
    return Logprobs(
        own=own,
        top=[dict(one or {}) for one in returned.get("top_logprobs") or [None] * len(own)],
        tokens=list(returned.get("tokens") or []),
        offsets=list(returned.get("text_offset") or []),
    )
