"""Transcript: every request and its reply, in the run folder, so that no request is sent twice.

A killed run takes its answers from here and asks for the rest; a run can be replayed from it without the server. It
holds training text, and neither a key nor an address beyond the name of the host.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.models.endpoint.wire import Reply, Request

NAME = "transcript.jsonl"


class Transcript:
    """Answers by request. Lines wait in memory until the folder is a run, because a folder in use is no new run's."""

    def __init__(self, folder: Path | None = None, replay: Path | None = None) -> None:
        self._folder = folder
        self._waiting: list[str] = []
        self._known: dict[str, Reply] = {}
        self._spare: dict[str, Reply] = {}
        self.replaying = replay is not None
        self.sent = 0
        """Requests that this process sent."""
        if folder is not None and (folder / NAME).is_file():
            whole, lines = _read(folder / NAME)
            with (folder / NAME).open("rb+") as handle:
                handle.truncate(whole)  # a killed process may leave half a line
            self._known = lines
        if replay is not None:
            source = replay / NAME if replay.is_dir() else replay
            if not source.is_file():
                raise RemanenceError(f"There is no {NAME} in {replay.name}: name the folder of a run against a server.")
            self._spare = _read(source)[1]

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Reply | None:
        """The answer to a request, if there is one."""
        return self._known.get(key) or self._spare.get(key)

    def used(self, key: str, role: str, host: str, model: str, request: Request) -> None:
        """Keep an answer of the replayed run in this run's transcript too."""
        if key not in self._known and key in self._spare:
            self.add(key, self._spare[key], role, host, model, request)

    def add(self, key: str, reply: Reply, role: str, host: str, model: str, request: Request) -> None:
        """Keep an answer. The line is on the disk when this returns, unless the folder is no run yet."""
        self._known[key] = reply
        line: dict[str, Any] = {"key": key, "role": role, "host": host, "model": model, "api": request.api}
        line |= {"request": dict(request.body), "response": reply.to_json()}
        self._waiting.append(json.dumps(line))
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._folder is None or not self._waiting or not (self._folder / "run.json").exists():
            return
        with (self._folder / NAME).open("a", encoding="utf-8") as handle:
            handle.write("".join(line + "\n" for line in self._waiting))
        self._waiting.clear()

    def spent(self) -> dict[str, int]:
        """Answers, and their tokens as the server counted them, over all the processes that wrote here."""
        replies = list(self._known.values())
        return {
            "requests": len(replies),
            "refused": sum(reply.refused is not None for reply in replies),
            "prompt_tokens": sum(reply.prompt_tokens for reply in replies),
            "completion_tokens": sum(reply.completion_tokens for reply in replies),
        }


def _read(file: Path) -> tuple[int, dict[str, Reply]]:
    """(bytes of whole lines, answers by key)"""
    content = file.read_bytes()
    whole = content.rfind(b"\n") + 1
    replies: dict[str, Reply] = {}
    try:
        for line in content[:whole].split(b"\n")[:-1]:
            entry = json.loads(line)
            replies[entry["key"]] = Reply.from_json(entry["response"])
    except (ValueError, KeyError, TypeError) as error:
        raise RemanenceError(
            f"{NAME} cannot be read ({type(error).__name__}): begin anew with another --out."
        ) from None
    return whole, replies
