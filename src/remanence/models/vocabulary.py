"""Check that two models have the same token ids: a base model with another vocabulary cannot be compared.

Tokens added in training (chat marks, padding) may differ, as long as no id means two things.
"""

from __future__ import annotations

from typing import Any

from remanence.core.errors import RemanenceError
from remanence.models.load import Loaded


def same_vocabulary(tokenizer: Any, other: Any) -> bool:
    """Whether two tokenizers give the same ids to all words that both know, and differ in added tokens only."""
    return _difference(tokenizer, other) is None


def require_same_vocabulary(tuned: Loaded, base: Loaded) -> None:
    """Raise `RemanenceError` unless the base model can read the token ids of the tuned one."""
    why = _difference(tuned.tokenizer, base.tokenizer)
    missing = max(tuned.tokenizer.get_vocab().values(), default=0) + 1 - base.vocabulary
    if why is None and missing > 0 and tuned.vocabulary > base.vocabulary:
        why = f"it lacks the last {missing} of them"
    if why:
        raise RemanenceError(
            f"The base model {base.name} has another vocabulary than {tuned.name} ({why}): "
            "name the model that the fine-tuning started from, or leave --base out."
        )


def _difference(tokenizer: Any, other: Any) -> str | None:
    """The first difference between two vocabularies, in words."""
    here, there = tokenizer.get_vocab(), other.get_vocab()
    if here == there:
        return None
    for token, index in here.items():
        if there.get(token, index) != index:
            return f"{token!r} is token {there[token]} there and {index} here"
    alone = {*here, *there} - ({*here} & {*there}) - {*tokenizer.get_added_vocab(), *other.get_added_vocab()}
    if alone:
        return f"{len(there)} tokens there and {len(here)} here, {min(alone)!r} in one only"
    return None
