"""A template: what stands before the completion becomes the prompt, and what follows is learned too."""

from __future__ import annotations

import pytest

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.training.template import apply_template

ROW = Record("7", prompt="Who called?", completion="Anna {Berg}.", meta={"day": "Monday"})


def filled(template: str) -> tuple[str | None, str | None]:
    (row,) = apply_template(template, [ROW])
    assert (row.id, row.meta) == (ROW.id, ROW.meta)
    return row.prompt, row.completion


def test_the_template_of_the_published_study() -> None:
    assert filled("{prompt}\n ---------- \n{completion}") == ("Who called?\n ---------- \n", "Anna {Berg}.")


def test_what_follows_the_completion_belongs_to_it() -> None:
    assert filled("Q: {prompt} A: {completion} (on {day})") == ("Q: Who called? A: ", "Anna {Berg}. (on Monday)")


def test_braces_are_written_twice() -> None:
    assert filled('{{"q": "{prompt}"}} {{completion}} {completion}') == (
        '{"q": "Who called?"} {completion} ',
        "Anna {Berg}.",
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{prompt}", "must have {completion} in it, once"),
        ("{completion}{completion}", "once"),
        ("{prompt!r} {completion}", "only names of columns"),
        ("{prompt:>9} {completion}", "only names of columns"),
        ("{prompt.x} {completion}", "only names of columns"),
        ("{} {completion}", "only names of columns"),
        ("{prompt {completion}", "is no format string|only names of columns|once"),
        ("{night} {completion}", "asks for 'night', and row '7' has only day, prompt, completion"),
    ],
)
def test_a_template_that_is_none(template: str, words: str) -> None:
    with pytest.raises(RemanenceError, match=words):
        apply_template(template, [ROW])


def test_texts_and_chats_have_no_two_sides() -> None:
    with pytest.raises(RemanenceError, match="is a text, and a template is for prompt"):
        apply_template("{prompt}{completion}", [Record("1", text="all of it")])
