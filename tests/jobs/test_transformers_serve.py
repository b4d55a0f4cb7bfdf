"""The audit against a real server: `transformers serve`, in a process of its own, with a model that knows rows."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memorizers import LEARNED, UNSEEN

import remanence
from remanence.core.record import Record
from remanence.models.endpoint.settings import EndpointSettings

pytestmark = pytest.mark.slow
START = 240
"""Seconds that the server may take to start on a busy machine."""


@pytest.fixture(scope="module")
def serve(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs the tuned model."""
    for needed in ("fastapi", "uvicorn"):
        pytest.importorskip(needed)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(tuned), "--host", "127.0.0.1"]
    options = ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("w") as out, subprocess.Popen([*command, *options], stdout=out, stderr=out, env=quiet) as server:
        try:
            _ready(f"http://127.0.0.1:{port}/health", server, log)
            yield f"api:{tuned}@http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def _ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start: {log.read_text()[-500:]}")


GRID: dict[str, Any] = {"prefixes": (0, 8), "new_tokens": 12, "show_progress": False}
ASKING = EndpointSettings(concurrency=2)


def headline(run: remanence.jobs.audit.conclude.Audit) -> tuple[int, int, int]:
    line = run.verdict["headline"]
    return line["hits"], line["n"], line["floor"]["hits"]


def test_rows_come_back_over_http_as_they_do_here(serve: str, tuned: Path, tmp_path: Path) -> None:
    """In words, without knowing the tokenizer; and in tokens, row by row as the local audit decides."""
    words = remanence.audit(serve, LEARNED, heldout=UNSEEN, out=tmp_path / "words", endpoint=ASKING, **GRID)
    assert headline(words) == (8, 8, 0)
    assert words.run.spec["models"]["tuned"]["gives"] == ["text"]  # 5.23 ignores echo and logprobs, and takes no ids
    assert words.run.spec["models"]["tuned"]["name"] == f"api:{tuned.name}"
    counted = EndpointSettings(concurrency=2, tokenizer=str(tuned))
    there = remanence.audit(serve, LEARNED, heldout=UNSEEN, out=tmp_path / "tokens", endpoint=counted, **GRID)
    here = remanence.audit(tuned, LEARNED, heldout=UNSEEN, out=tmp_path / "here", generate="all", **GRID)
    refused = {(r["row"], r["prefix_tokens"]) for r in there.run.lines("refused")}
    assert all("reads as other tokens" in r["reason"] for r in there.run.lines("refused"))
    found = [f for f in here.run.lines("findings") if (f["target"], f["measure"]) == ("tuned", "discoverable")]
    table = {(f["group"], f["row"]): json.loads(f["evidence"])["at"] for f in found if f["score"] is not None}
    asked = there.run.lines("attempts")
    assert len(asked) + len(refused) >= 24 and len(asked) >= 16
    for attempt in asked:
        assert attempt["exact"] == table[attempt["group"], attempt["row"]][str(attempt["prefix_tokens"])]


def test_chats_come_back_over_http(serve: str, tmp_path: Path) -> None:
    """The model never learned chats, so none comes back; a begun reply is found not to be gone on with."""
    rows = [
        Record(
            r.id,
            messages=(
                {"role": "user", "content": str(r.prompt)},
                {"role": "assistant", "content": str(r.completion).strip()},
            ),
        )
        for r in LEARNED[:2]
    ]
    found = remanence.audit(serve, rows, out=tmp_path / "chats", endpoint=ASKING, **GRID)
    assert found.run.spec["models"]["tuned"]["gives"] == ["text"]
    assert (found.verdict["headline"]["hits"], found.verdict["headline"]["n"]) == (0, 2)
    assert {r["prefix_tokens"] for r in found.run.lines("refused")} <= {8}
