"""A local model with the interface of a server: the base model of a fine-tuned model that only returns text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.table import IntsT
from remanence.core.target import Prompt
from remanence.models.endpoint.wire import Reply, Request
from remanence.models.huggingface import HuggingFace


@dataclass(frozen=True)
class Here:
    """Answers greedy requests with a local model. Costs nothing, and keeps no transcript."""

    target: HuggingFace

    def missing(self, requests: Sequence[Request]) -> list[Request]:
        """Nothing that anybody has to pay for."""
        return []

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """The answers, in order."""
        empty = np.empty(0, np.int32)
        prompts = [Prompt(str(i), self._ids(request), empty) for i, request in enumerate(requests)]
        replies: list[Reply] = [Reply()] * len(requests)
        for room in sorted({int(request.body["max_tokens"]) for request in requests}):
            here = [i for i, request in enumerate(requests) if int(request.body["max_tokens"]) == room]
            for i, answer in zip(here, self.target.generate([prompts[i] for i in here], room), strict=True):
                finish = "length" if answer.ids.size >= room else "stop"
                replies[i] = Reply(answer.text, finish, prompts[i].ids.size, int(answer.ids.size))
        return replies

    def _ids(self, request: Request) -> IntsT:
        tokenizer: Any = self.target.tokenizer
        if request.api == "completions":
            return np.array(tokenizer(request.body["prompt"], verbose=False)["input_ids"], np.int32)
        begun = bool(request.body.get("continue_final_message"))
        encoded = tokenizer.apply_chat_template(
            request.body["messages"], tokenize=True, return_dict=True,
            add_generation_prompt=not begun, continue_final_message=begun,
        )  # fmt: skip
        return np.array(encoded["input_ids"], np.int32)
