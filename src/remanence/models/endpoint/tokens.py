"""Splitting by the model's own tokens, if its tokenizer is available, as in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.table import IntsT, Rendered
from remanence.models.endpoint.cutter import Marks, common, led


class Tokens:
    """Cuts with a transformers tokenizer; texts and pairs exactly as in training, chats turn by turn."""

    unit = "token"

    def __init__(self, renderer: Any, name: str) -> None:
        self.renderer, self.tokenizer, self.name = renderer, renderer.tokenizer, name
        self.marks = Marks()
        self._special = set(self.tokenizer.all_special_ids)

    def cut(self, text: str) -> list[int]:
        """The tokens of a text, without those that the tokenizer adds at its ends."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def render(self, record: Record) -> Rendered:
        """As in training; of a chat the last reply is asked for."""
        return self.marks.chat(record, self.cut) if record.form == "messages" else self.renderer(record)

    def plain(self, ids: IntsT, special: bool = False) -> str:
        """Text of tokens without marks."""
        return self.tokenizer.decode(ids.tolist(), skip_special_tokens=not special, clean_up_tokenization_spaces=False)

    def decode(self, ids: IntsT) -> str:
        """Text of the tokens, without special ones."""
        return self.marks.decode(ids, self.plain)

    def shown(self, ids: IntsT) -> str:
        """The text that the tokenizer reads as these tokens, with those it adds by itself left away."""
        added = common(list(self.tokenizer("")["input_ids"]), ids.tolist())
        text = self.plain(ids[added:], special=True)
        if list(self.tokenizer(text, verbose=False)["input_ids"]) != ids.tolist():
            raise NotMeasured("sent as text, its prompt reads as other tokens, and the server takes no token ids")
        return text

    def room(self, expected: IntsT) -> int:
        """One each; and one more where the row ends, because not all servers say that an answer ended at the limit."""
        return expected.size + (1 if expected.size and int(expected[-1]) in self._special else 0)

    def read(self, given: IntsT, expected: IntsT, text: str, finish: str | None) -> IntsT | None:
        """The answer's tokens. Where its text is the row's, they are the row's; the end of a row must be an end."""
        shown = self.plain(given)
        texts = [self.plain(np.concatenate([given, expected[: j + 1]]))[len(shown) :] for j in range(expected.size)]
        generated = led(texts[-1], text) if texts else text
        num = next((j + 1 for j in reversed(range(expected.size)) if generated.startswith(texts[j])), 0)
        while (
            num and int(expected[num - 1]) in self._special and not (generated == texts[num - 1] and finish == "stop")
        ):
            num -= 1
        rest = generated[len(texts[num - 1]) if num else 0 :]
        if not rest:
            return expected[:num]
        whole = list(self.tokenizer(shown + generated, verbose=False)["input_ids"])
        if whole[: given.size] == given.tolist():
            return np.array(whole[given.size :][: expected.size], np.int32)
        return np.array([*expected[:num].tolist(), *self.cut(rest)][: expected.size], np.int32)
