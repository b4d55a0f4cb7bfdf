"""Puts prompt and completion into a wording, as fine-tuning scripts do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from string import Formatter

from remanence.core.errors import RemanenceError
from remanence.core.record import Record


def apply_template(template: str, records: Sequence[Record]) -> list[Record]:
    """The records with prompt and completion made anew.

    `template` is a format string with `{completion}` once; `{prompt}` and other columns of the data may stand anywhere.
    All before `{completion}` is the new prompt, the rest is the new completion; braces themselves are written twice.
    Raises `RemanenceError` for a template that is none, for a column that a row lacks, and for texts and chats.
    """
    before, after = halves(template)
    return [_filled(record, before, after) for record in records]


def halves(template: str) -> tuple[str, str]:
    """The template before the completion, and from the completion on."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise RemanenceError(f"The template {template!r} is no format string: {error}.") from None
    names = [name for _, name, _, _ in parts if name is not None]
    if names.count("completion") != 1:
        raise RemanenceError(f"The template {template!r} must have {{completion}} in it, once.")
    if any(spec or conversion for _, _, spec, conversion in parts) or not all(n.isidentifier() for n in names):
        raise RemanenceError(
            f"In the template {template!r} only names of columns may stand in braces, like {{prompt}}."
        )
    written = [_escaped(literal) + (f"{{{name}}}" if name is not None else "") for literal, name, _, _ in parts]
    at = next(place for place, (_, name, _, _) in enumerate(parts) if name == "completion")
    before = "".join(written[: at + 1]).removesuffix("{completion}")
    return before, "{completion}" + "".join(written[at + 1 :])


def _filled(record: Record, before: str, after: str) -> Record:
    if record.form != "pair":
        raise RemanenceError(
            f"Row {record.id!r} is a {'text' if record.form == 'text' else 'chat'}, and a template is for prompt + "
            "completion rows: drop the template, or give the data these two columns."
        )
    columns = {**record.meta, "prompt": record.prompt or "", "completion": record.completion or ""}
    try:
        return replace(record, prompt=before.format(**columns), completion=after.format(**columns))
    except KeyError as missing:
        raise RemanenceError(
            f"The template asks for {missing.args[0]!r}, and row {record.id!r} has only {', '.join(columns)}."
        ) from None


def _escaped(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")
