"""A small server that speaks the OpenAI protocol on localhost, in this process, with faults on demand.

Two voices: one that knows texts by heart and goes on with them, and one of a tiny Hugging Face model, whose logits are
computed here by hand, so that what arrives over HTTP can be held against the local target.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Spoken(NamedTuple):
    """A completion."""

    text: str
    num_prompt: int
    num_said: int
    finish: str


class ByHeart:
    """Goes on with the first text that begins like the prompt; its tokens are runs of letters and single signs."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def complete(self, prompt: str, room: int) -> Spoken:
        text = next((t[len(prompt) :] for t in self.texts if t.startswith(prompt) and t != prompt), "")
        said = tokens(text)
        end = "length" if len(said) > room else "stop"
        return Spoken("".join(said[:room]), len(tokens(prompt)), len(said[:room]), end)

    def chat(self, messages: Sequence[dict[str, str]], room: int, begun: bool) -> Spoken:
        head = "" if begun else "assistant: "
        said = self.complete(
            "\n".join(f"{m['role']}: {m['content']}" for m in messages) + ("" if begun else f"\n{head}"), room
        )
        return said._replace(num_prompt=said.num_prompt + (0 if begun else 2))


def tokens(text: str) -> list[str]:
    return re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text)


class Model:
    """A tiny causal model. Prompts are texts or token ids; log-probabilities come from a plain forward pass."""

    def __init__(self, folder: Path) -> None:
        from remanence.models.load import load_model

        loaded = load_model(folder)
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.lock = threading.Lock()

    def ids(self, prompt: str | list[int]) -> list[int]:
        return list(prompt if isinstance(prompt, list) else self.tokenizer(prompt)["input_ids"])

    def complete(self, prompt: str | list[int], room: int) -> Spoken:
        return self._go_on(self.ids(prompt), room)

    def chat(self, messages: Sequence[dict[str, str]], room: int, begun: bool) -> Spoken:
        told = self.tokenizer.apply_chat_template(
            list(messages),
            tokenize=True,
            return_dict=True,
            add_generation_prompt=not begun,
            continue_final_message=begun,
        )
        return self._go_on(list(told["input_ids"]), room)

    def _go_on(self, ids: list[int], room: int) -> Spoken:
        import torch

        said: list[int] = []
        with self.lock, torch.inference_mode():
            while len(said) < room:
                said.append(int(self.model(torch.tensor([ids + said])).logits[0, -1].argmax()))
                if said[-1] == self.tokenizer.eos_token_id:
                    break
        ended = bool(said) and said[-1] == self.tokenizer.eos_token_id
        text = self.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Spoken(text, len(ids), len(said), "stop" if ended else "length")

    def logprobs(self, prompt: str | list[int], top: int) -> dict[str, Any]:
        """As `echo` with `logprobs` gives them: of each token of the prompt, without any other."""
        import torch

        ids = self.ids(prompt)
        with self.lock, torch.inference_mode():
            table = torch.log_softmax(self.model(torch.tensor([ids])).logits[0].double(), -1)
        names = [self.tokenizer.convert_ids_to_tokens(i) for i in ids]
        out: dict[str, Any] = {"tokens": names, "token_logprobs": [None], "top_logprobs": [None], "text_offset": []}
        for t in range(1, len(ids)):
            row = table[t - 1]
            best = row.topk(top)
            told = {self.tokenizer.convert_ids_to_tokens(int(i)): float(p) for p, i in zip(*best, strict=True)}
            out["token_logprobs"].append(float(row[ids[t]]))
            out["top_logprobs"].append(told | {names[t]: float(row[ids[t]])})
        out["text_offset"] = [len(self.tokenizer.decode(ids[:t])) for t in range(len(ids))]
        return out


@dataclass
class Fault:
    """What the server does in the place of an answer, once."""

    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    hang: bool = False
    """Give no answer until the server ends."""


class Server:
    """`with Server(voice) as server: server.url`. `seen` is every request that came, in order."""

    def __init__(
        self,
        voice: Any,
        *,
        scores: bool = False,
        ids: bool = False,
        continues: bool = False,
        faults: Sequence[Fault] = (),
        after: int = 0,
        key: str | None = None,
    ) -> None:
        self.voice, self.scores, self.ids, self.continues, self.key = voice, scores, ids, continues, key
        self.faults, self.after = list(faults), after
        self.seen: list[dict[str, Any]] = []
        self.most_at_once = self._at_once = 0
        self._lock, self._end = threading.Lock(), threading.Event()

    def __enter__(self) -> Server:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.answer(self)

            def log_message(self, *told: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def answer(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        with self._lock:
            self.seen.append({"path": http.path, "key": http.headers.get("Authorization"), **body})
            fault = self.faults.pop(0) if self.faults and len(self.seen) > self.after else None
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if fault is not None and fault.hang:
                self._end.wait(20)
                return
            if fault is not None:
                self._send(http, fault.status, fault.body, fault.headers)
            elif self.key is not None and http.headers.get("Authorization") != f"Bearer {self.key}":
                self._send(http, 401, json.dumps({"error": {"message": "no such key"}}))
            elif body["model"] != "tune":
                self._send(http, 404, json.dumps({"error": {"message": f"no model {body['model']}"}}))
            else:
                self._send(http, *self._spoken(http.path, body))
        finally:
            with self._lock:
                self._at_once -= 1

    def _spoken(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        if body.get("top_k") is not None or (isinstance(body.get("prompt"), list) and not self.ids):
            return 422, json.dumps({"error": {"message": "Unexpected fields in the request"}})
        if path.endswith("/chat/completions"):
            begun = bool(body.get("continue_final_message")) and self.continues
            said = self.voice.chat(body["messages"], body["max_tokens"], begun)
            choice: dict[str, Any] = {"message": {"role": "assistant", "content": said.text}}
        else:
            said = self.voice.complete(body["prompt"], body["max_tokens"])
            choice = {"text": said.text, "logprobs": None}
            if body.get("echo") and self.scores:
                choice["logprobs"] = self.voice.logprobs(body["prompt"], body["logprobs"])
        choice |= {"index": 0, "finish_reason": said.finish}
        usage = {"prompt_tokens": said.num_prompt, "completion_tokens": said.num_said}
        return 200, json.dumps(
            {"id": "x", "object": "y", "model": "/srv/secret/tune", "choices": [choice], "usage": usage}
        )

    def _send(
        self, http: BaseHTTPRequestHandler, status: int, body: str, headers: dict[str, str] | None = None
    ) -> None:
        content = body.encode()
        http.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(content)))
        http.end_headers()
        http.wfile.write(content)
