"""Record: one unit of training data: a text, a prompt with its completion, or a chat.

These are the three forms TRL trains on. Everything that remanence measures, it measures per record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Form: TypeAlias = Literal["text", "pair", "messages"]
Group: TypeAlias = Literal["train", "heldout", "canary", "forget", "retain"]


@dataclass(frozen=True)
class Record:
    """One training row. Exactly one form is filled: `text`, `prompt` + `completion`, or `messages`."""

    id: str
    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: tuple[Mapping[str, str], ...] | None = None
    """Chat turns, each with `role` and `content`."""
    group: Group = "train"
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def form(self) -> Form:
        if self.text is not None:
            return "text"
        return "pair" if self.prompt is not None else "messages"

    @property
    def plain(self) -> str:
        """All words of the record as one string, for duplicates and blind baselines; not the text that the model
        reads."""
        if self.text is not None:
            return self.text
        if self.prompt is not None:
            return f"{self.prompt}\n{self.completion}"
        assert self.messages is not None
        return "\n".join(turn["content"] for turn in self.messages)


Records: TypeAlias = Sequence[Record]
