"""HTTP client: concurrent requests, retries if the server is busy, and immediate storage of replies.

HTTP, retries with growing pauses and `Retry-After` are the `openai` library's; pace, transcript and the sentence for
what went wrong are ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from remanence.core.errors import RemanenceError
from remanence.models.endpoint.settings import Address, EndpointSettings
from remanence.models.endpoint.transcript import Transcript
from remanence.models.endpoint.wire import Reply, Request, read_reply

PATHS = {"completions": "/completions", "chat": "/chat/completions"}
Result = TypeVar("Result")


class Client:
    """Asks one model on one server. `role` (tuned, base) tells two models of one name apart in the transcript."""

    def __init__(self, address: Address, role: str, settings: EndpointSettings, transcript: Transcript) -> None:
        try:
            import openai as _  # noqa: F401
        except ImportError:
            raise RemanenceError("api: targets need the openai library: pip install 'remanence[openai]'.") from None
        self.address, self.role, self.settings, self.transcript = address, role, settings, transcript
        self._next = 0.0

    def missing(self, requests: Sequence[Request]) -> list[Request]:
        """Those that the transcript has no answer to, each once."""
        found = {self._key(request): request for request in requests}
        return [request for key, request in found.items() if self.transcript.get(key) is None]

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """The answers, in order. Raises `RemanenceError` when the server cannot be asked; what came is kept."""
        missing = self.missing(requests)
        if missing and self.transcript.replaying:
            raise RemanenceError(
                f"The replayed run has no answer to {len(missing):,} of {len(requests):,} requests to "
                f"{self.address.title}: replay with the data and settings of that run."
            )
        most = self.settings.max_requests
        if missing and most is not None and self.transcript.sent + len(missing) > most:
            raise RemanenceError(
                f"--max-requests {most:,} is used up; what was answered is kept: raise it and add --resume to go on."
            )
        if missing:
            _finished(self._ask_all(missing))
        replies: list[Reply] = []
        for request in requests:
            key = self._key(request)
            self.transcript.used(key, self.role, self.address.host, self.address.title, request)
            reply = self.transcript.get(key)
            assert reply is not None, "asked just now"
            replies.append(reply)
        return replies

    def _key(self, request: Request) -> str:
        return request.key(self.role, self.address.title)

    async def _ask_all(self, requests: Sequence[Request]) -> None:
        from openai import AsyncOpenAI

        free = asyncio.Semaphore(self.settings.concurrency)
        wait, retries = self.settings.timeout, self.settings.retries
        async with AsyncOpenAI(
            api_key=self.settings.key, base_url=self.address.url, timeout=wait, max_retries=retries
        ) as server:

            async def one(request: Request) -> None:
                async with free:
                    await self._pace()
                    self.transcript.sent += 1
                    reply = await self._ask(server, request)
                self.transcript.add(
                    self._key(request), reply, self.role, self.address.host, self.address.title, request
                )

            tasks = [asyncio.create_task(one(request)) for request in requests]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _pace(self) -> None:
        """Wait for this request's turn, where a pace was set."""
        if self.settings.requests_per_minute is None:
            return
        now = time.monotonic()
        self._next = max(now, self._next + 60 / self.settings.requests_per_minute)
        await asyncio.sleep(self._next - now)

    async def _ask(self, server: Any, request: Request) -> Reply:
        import openai

        body = {"model": self.address.model, **request.body}
        why = ""
        for _ in range(self.settings.retries + 1):
            try:
                answer = await server.post(PATHS[request.api], body=body, cast_to=cast("Any", object))
                return read_reply(request.api, answer)
            except openai.APIStatusError as error:
                if error.status_code in {400, 413, 422}:
                    return Reply(refused=self._message(error))
                raise RemanenceError(self._sentence(error, request)) from None
            except openai.APIConnectionError as error:
                raise RemanenceError(self._sentence(error, request)) from None
            except (ValueError, openai.APIError) as error:  # unreadable: try again
                why = " ".join(str(error).split())[:120]
        host = self.address.host
        raise RemanenceError(f"{host} does not answer in the OpenAI protocol ({why}): check the URL{self._kept()}")

    def _message(self, error: Any) -> str:
        """The server's own words, without the folder it may call the model by."""
        body = error.body
        details: Any = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        words = details.get("message") or details.get("detail") or details.get("error") or error.message
        text = " ".join(str(words).split()).replace(self.address.model, self.address.title)
        return f"the server refused it with status {error.status_code}: {text[:200]}"

    def _sentence(self, error: Any, request: Request) -> str:
        import openai

        host, model, times = self.address.host, self.address.title, f"{self.settings.retries + 1} times"
        kept, path = self._kept(), PATHS[request.api]
        if isinstance(error, openai.APITimeoutError):
            return f"{host} gave no answer within {self.settings.timeout:g} s, {times}: raise --timeout{kept}"
        if isinstance(error, openai.APIConnectionError):
            return f"{host} cannot be reached: is the server running at the address after the @{kept}"
        if error.status_code in {401, 403}:
            put = f"put one that may use {model} into {self.settings.api_key_env}, or name another with --api-key-env"
            return f"{host} refuses the key: {put}{kept}"
        if error.status_code == 404:
            check = "check api:MODEL@URL, and give chats (messages) to a server that only knows chats"
            return f"{host} has no model {model}, or no {path}: {check}{kept}"
        if error.status_code == 429:
            return f"{host} is asked too much, {self._message(error)}: lower --requests-per-minute{kept}"
        return f"{host} failed {times}, {self._message(error)}: look at the server{kept}"

    def _kept(self) -> str:
        kept = len(self.transcript)
        return f"; {kept:,} answers are kept, add --resume to go on." if kept else "."


def _finished(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of async work, also where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
