"""How a server is asked: how fast, how often again, with which key, and what it may cost."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remanence.core.errors import RemanenceError

PREFIX = "api:"
_ADDRESS = re.compile(r"api:(?P<model>.+)@(?P<url>https?://.+)", re.DOTALL)


@dataclass(frozen=True)
class EndpointSettings:
    """What can be set about asking a server. Nothing of it changes an answer, so nothing of it is in `run.json`."""

    tokenizer: str | None = None
    """Folder or Hub name of the model's tokenizer, to count in its tokens; None = count in words."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; the key itself is written nowhere."""
    concurrency: int = 8
    """Requests under way at the same time."""
    requests_per_minute: float | None = None
    """No more requests than this are begun in a minute; None = as fast as answers come."""
    timeout: float = 120.0
    """Seconds to wait for one answer."""
    retries: int = 5
    """How often a request is sent again after 429, 5xx, a timeout or an unreadable answer."""
    price_in: float | None = None
    """Price of a million prompt tokens."""
    price_out: float | None = None
    """Price of a million completion tokens."""
    max_cost: float | None = None
    """Refuse before a row is sent if the estimate is above this; needs both prices."""
    max_requests: int | None = None
    """Refuse before a row is sent if more requests than this are needed."""
    replay: Path | None = None
    """A run folder: its answers are taken, and nothing is sent."""

    def __post_init__(self) -> None:
        least = {"concurrency": 1, "retries": 0, "max_requests": 0, "price_in": 0, "price_out": 0, "max_cost": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise RemanenceError(f"--{name.replace('_', '-')} must be at least {lowest}, got {value}.")
        for name in ("timeout", "requests_per_minute"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise RemanenceError(f"--{name.replace('_', '-')} must be above 0, got {value:g}.")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise RemanenceError("--max-cost needs the prices of a million tokens: add --price-in and --price-out.")

    @property
    def key(self) -> str:
        """The key, or a word in its place for servers that want none."""
        return os.environ.get(self.api_key_env) or "none"


@dataclass(frozen=True)
class Address:
    """A model on a server, as `api:MODEL@URL` names it."""

    model: str
    """What the server calls the model."""
    url: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `api:MODEL@URL`; the URL is what stands before `/completions`."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise RemanenceError(
                f"Cannot read {text!r}: write the model and its server like api:my-tune@http://localhost:8000/v1."
            )
        return cls(found["model"], found["url"].rstrip("/"))

    @property
    def host(self) -> str:
        """The name of the machine: no user, port or path."""
        return self.url.split("://", 1)[1].split("/", 1)[0].rsplit("@", 1)[-1].rsplit(":", 1)[0]

    @property
    def title(self) -> str:
        """The model's name without the folder that a server of local folders calls it by."""
        is_folder = self.model.startswith(("/", ".", "~")) or re.match(r"[A-Za-z]:[\\/]", self.model)
        return PurePosixPath(self.model.replace("\\", "/")).name if is_folder else self.model


def is_address(name: object) -> bool:
    """Whether a model is named by the server it is on."""
    return isinstance(name, str) and name.startswith(PREFIX)
