"""Settings of querying a model on a server, and the address that names one: `api:MODEL@URL`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from remanence.core.errors import RemanenceError
from remanence.core.settings import check_settings, option, spelled

PREFIX = "api:"
_ADDRESS = re.compile(r"api:(?P<model>.+)@(?P<url>https?://.+)", re.DOTALL)


@dataclass(frozen=True)
class EndpointSettings:
    """How a model on a server is queried. Nothing here changes an answer, so nothing here is in `run.json`."""

    tokenizer: str | None = option(None, group="server", metavar="FOLDER")
    """Tokenizer of the model, as a folder or Hub name, so that lengths are counted in its tokens. Default: lengths are
    counted in words."""
    api_key_env: str = option("OPENAI_API_KEY", group="server", metavar="VARIABLE")
    """Environment variable that holds the API key; the key itself is never written to disk."""
    concurrency: int = option(8, group="server", least=1)
    """Number of concurrent requests."""
    requests_per_minute: float | None = option(None, group="server", above=0)
    """Maximum number of requests per minute. Default: no limit."""
    timeout: float = option(120.0, group="server", above=0, metavar="SECONDS")
    """Timeout of a request, in seconds."""
    retries: int = option(5, group="server", least=0)
    """Number of retries after status 429 or 5xx, a timeout, or an unreadable answer."""
    price_in: float | None = option(None, group="server", least=0)
    """Price of one million prompt tokens."""
    price_out: float | None = option(None, group="server", least=0)
    """Price of one million generated tokens."""
    max_cost: float | None = option(None, group="server", least=0)
    """Maximum estimated cost: above it, no request is sent. Needs both prices."""
    max_requests: int | None = option(None, group="server", least=0)
    """Maximum number of requests: if more are needed, none is sent."""
    replay: Path | None = option(None, group="server", metavar="RUN")
    """Run folder whose stored answers are used; no request is sent."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise RemanenceError(
                f"{spelled('max_cost')} needs the prices of a million tokens: add {spelled('price_in')} and "
                f"{spelled('price_out')}."
            )

    @property
    def key(self) -> str:
        """The API key, or a placeholder for servers that need none."""
        return os.environ.get(self.api_key_env) or "none"


@dataclass(frozen=True)
class Address:
    """A model on a server, as `api:MODEL@URL` names it."""

    model: str
    """What the server calls the model."""
    url: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `api:MODEL@URL`; the URL is the part before `/completions`."""
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
