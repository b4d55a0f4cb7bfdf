"""Render a row as in training: the same tokens, the same loss mask, the same truncation.

Follows `SFTTrainer` of TRL 1.16 (`_prepare_dataset`, without packing) for decoder-only models, and the
`Seq2SeqTrainer` examples of transformers for encoder-decoders. Tests compare with the live trainer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2.exceptions import TemplateError

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.record import Record
from remanence.core.table import Rendered
from remanence.models.settings import LossOn


@dataclass(frozen=True)
class Renderer:
    """Turns a record into token ids and a loss mask, exactly as in training."""

    tokenizer: Any
    """A transformers tokenizer."""
    loss_on: LossOn = "auto"
    """Which tokens were learned. auto = TRL's defaults: all of a text or a chat, the completion of a pair. For chats
    `assistant` is TRL's `assistant_only_loss`, and `completion` learns the last turn only."""
    max_length: int | None = None
    """The trainer's `max_length` in tokens (TRL's own default is 1024); the end of longer rows was never seen."""
    add_eos: bool = True
    """End texts and completions with the end-of-text token, as TRL does; chats never (their template decides)."""
    seq2seq: bool = False
    """An encoder-decoder: the prompt is the source, the completion the target."""
    context: int | None = None
    """Longest row that the model takes; the smaller of this and `max_length` is the cut."""

    @property
    def limit(self) -> int | None:
        """Where rows are cut, in tokens; None = nowhere."""
        return min((n for n in (self.max_length, self.context) if n is not None), default=None)

    def __call__(self, record: Record) -> Rendered:
        """Token ids, loss mask and counts of what was cut.

        Raises `NotMeasured` when this row has nothing to learn or cannot be read, and `RemanenceError` when no row of
        this kind can be rendered with these settings.
        """
        try:
            if self.seq2seq:
                return self._seq2seq(record)
            if record.form == "pair":
                ids, supervised = self._pair(record)
            elif record.form == "text":
                ids, supervised = self._text(record)
            else:
                ids, supervised = self._chat(record)
        except TemplateError as error:
            raise NotMeasured(f"the chat template refuses the row: {error}") from None
        except (UnicodeEncodeError, TypeError) as error:
            if _has_lone_surrogate(record):
                raise NotMeasured(
                    "the text holds half a character (a lone surrogate) that no tokenizer takes"
                ) from None
            raise error
        return _cut(ids, supervised, self.limit)

    def _text(self, record: Record) -> tuple[list[int], list[bool]]:
        if self.loss_on in {"completion", "assistant"}:
            raise self._wrong_form(record, "text")
        assert record.text is not None
        if not record.text:
            raise NotMeasured("the text is empty")
        ids = self._ids(self._ended(record.text))
        return ids, [True] * len(ids)

    def _pair(self, record: Record) -> tuple[list[int], list[bool]]:
        """TRL tokenizes prompt and prompt + completion; what is learned begins where the two part."""
        if self.loss_on == "assistant":
            raise self._wrong_form(record, "prompt + completion")
        prompt, completion = record.prompt or "", record.completion or ""
        if not completion and (self.loss_on != "all" or not prompt):
            raise NotMeasured("the completion is empty")
        ids = self._ids(prompt + self._ended(completion))
        shared = 0 if self.loss_on == "all" else shared_prefix(self._ids(prompt), ids)
        return ids, [False] * shared + [True] * (len(ids) - shared)

    def _chat(self, record: Record) -> tuple[list[int], list[bool]]:
        turns = [dict(turn) for turn in record.messages or ()]
        if not turns:
            raise NotMeasured("the chat has no turns")
        if not self.tokenizer.chat_template:
            raise RemanenceError(
                f"Row {record.id!r} is a chat, but the tokenizer has no chat template: set tokenizer.chat_template to "
                "the one used in training and save the tokenizer beside the model."
            )
        extra = _template_arguments(record)
        if self.loss_on == "assistant":
            return self._assistant(record, turns, extra)
        ids = self._template(turns, extra)["input_ids"]
        shared = 0
        if self.loss_on == "completion":
            if len(turns) == 1:
                raise NotMeasured("the chat has a single turn: nothing stands before its completion")
            prompt = self._template(turns[:-1], extra, add_generation_prompt=True)["input_ids"]
            shared = shared_prefix(prompt, ids)
        return ids, [False] * shared + [True] * (len(ids) - shared)

    def _assistant(
        self, record: Record, turns: list[dict[str, Any]], extra: dict[str, Any]
    ) -> tuple[list[int], list[bool]]:
        """Loss on what stands between `{% generation %}` marks; without marks, on what each assistant turn adds."""
        if not any(turn.get("role") == "assistant" for turn in turns):
            raise NotMeasured("the chat has no assistant turn")
        template = _default_template(self.tokenizer.chat_template)
        marked = template if _MARK.search(template) else training_template(self.tokenizer)
        if marked is not None and self.tokenizer.is_fast:
            if marked != template:
                extra = {**extra, "chat_template": marked}
            out = self._template(turns, extra, return_assistant_tokens_mask=True)
            return out["input_ids"], [bool(bit) for bit in out["assistant_masks"]]
        ids = self._template(turns, extra)["input_ids"]
        supervised = [False] * len(ids)
        for number, turn in enumerate(turns):
            if turn.get("role") != "assistant":
                continue
            before = self._template(turns[:number], extra, add_generation_prompt=True)["input_ids"] if number else []
            after = self._template(turns[: number + 1], extra)["input_ids"]
            if not number or ids[: len(before)] != before or ids[: len(after)] != after:
                raise RemanenceError(
                    f"Row {record.id!r}: the chat template does not show which tokens turn {number} of the assistant "
                    "adds: put {% generation %} ... {% endgeneration %} around them in the template."
                )
            supervised[len(before) : len(after)] = [True] * (len(after) - len(before))
        return ids, supervised

    def _seq2seq(self, record: Record) -> Rendered:
        """Source and target as the `Seq2SeqTrainer` examples make them: cut by the tokenizer, which keeps its EOS."""
        if record.form != "pair" or self.loss_on == "assistant":
            raise RemanenceError(
                f"Row {record.id!r}: an encoder-decoder learns prompt + completion rows with loss on the completion; "
                "give the data these two columns and leave --loss-on at auto."
            )
        if not record.completion:
            raise NotMeasured("the completion is empty")
        whole_source, whole = self._ids(record.prompt or ""), self._ids(text_target=record.completion)
        cut: dict[str, Any] = {"truncation": True, "max_length": self.limit} if self.limit is not None else {}
        source = self._ids(record.prompt or "", **cut)
        ids = self._ids(text_target=record.completion, **cut)
        lost = len(whole) - len(ids)
        return Rendered(
            np.asarray(ids, np.int32),
            np.ones(len(ids), np.bool_),
            np.asarray(source, np.int32),
            num_truncated=lost + len(whole_source) - len(source),
            num_supervised_truncated=lost,
        )

    def _ids(self, text: str | None = None, **arguments: Any) -> list[int]:
        return list(self.tokenizer(text=text, verbose=False, **arguments)["input_ids"])

    def _template(self, turns: list[dict[str, Any]], extra: dict[str, Any], **arguments: Any) -> dict[str, list[int]]:
        quiet = {"tokenizer_kwargs": {"verbose": False}}
        return self.tokenizer.apply_chat_template(
            turns, tokenize=True, return_dict=True, **quiet, **{**arguments, **extra}
        )

    def _ended(self, text: str) -> str:
        eos = self.tokenizer.eos_token
        return text if not self.add_eos or eos is None or text.endswith(eos) else text + eos

    def _wrong_form(self, record: Record, form: str) -> RemanenceError:
        needs = "chats (messages)" if self.loss_on == "assistant" else "prompt + completion rows or chats"
        return RemanenceError(
            f"Row {record.id!r} is {form}, but --loss-on {self.loss_on} is for {needs}: use --loss-on auto."
        )


def render_all(records: Iterable[Record], renderer: Renderer) -> list[Rendered | str]:
    """Every record rendered, in order; a string in place of a row says why it cannot be measured."""
    rows: list[Rendered | str] = []
    for record in records:
        try:
            rows.append(renderer(record))
        except NotMeasured as why:
            rows.append(why.reason)
    return rows


def shared_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Number of leading tokens that two sequences share."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def training_template(tokenizer: Any) -> str | None:
    """The template with generation marks that TRL puts in the place of a well-known one; None where it knows none."""
    try:
        from trl.chat_template_utils import get_training_chat_template
    except ImportError:
        return None
    try:
        return get_training_chat_template(tokenizer)
    except ValueError:
        return None


_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


def _default_template(template: str | dict[str, str]) -> str:
    return template["default"] if isinstance(template, dict) else template


def _template_arguments(record: Record) -> dict[str, Any]:
    """The columns `tools` and `chat_template_kwargs`, which TRL hands to the template."""
    tools, more = record.meta.get("tools"), record.meta.get("chat_template_kwargs") or {}
    try:
        tools = json.loads(tools) if isinstance(tools, str) and tools else tools
    except json.JSONDecodeError:
        raise NotMeasured("its tools are not JSON, so the chat template cannot be filled in") from None
    if (tools and not isinstance(tools, list)) or not isinstance(more, dict):
        raise NotMeasured(
            "its tools are no list, or its chat_template_kwargs no table: the template cannot be filled in"
        )
    return {**({"tools": tools} if tools else {}), **more}


def _has_lone_surrogate(record: Record) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in record.plain)


def _cut(ids: list[int], supervised: list[bool], limit: int | None) -> Rendered:
    kept = len(ids) if limit is None else min(limit, len(ids))
    return Rendered(
        np.asarray(ids[:kept], np.int32),
        np.asarray(supervised[:kept], np.bool_),
        num_truncated=len(ids) - kept,
        num_supervised_truncated=sum(supervised[kept:]),
    )
