"""Rows are rendered as the model read them in training: by hand, then beside the live trainers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from tiny_models import EOS, MARKED_TEMPLATE, PLAIN_TEMPLATE, make_tokenizer

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.record import Record
from remanence.models.render import Renderer, _template_arguments, render_all, shared_prefix

CHAT = (
    {"role": "user", "content": "who called?"},
    {"role": "assistant", "content": "Anna Berg"},
    {"role": "user", "content": "when?"},
    {"role": "assistant", "content": "at noon"},
)
CHATS = [
    Record("a", messages=CHAT),
    Record("b", messages=({"role": "system", "content": "be kind"}, *CHAT[:2])),
    Record("c", messages=({"role": "user", "content": "שלום 👩‍👧"}, {"role": "assistant", "content": "مرحبا é"})),
]
TEXTS = [
    Record("a", text="the cat sat on the mat"),
    Record("b", text="ends by itself" + EOS),
    Record("c", text="שלום 👩‍👧 مرحبا"),
    Record("d", text="x"),
    Record("e", text="the patient came on Monday, was seen by Dr. Lind and went home. " * 8),
]
PAIRS = [
    Record("a", prompt="Question: who called? Answer:", completion=" Anna Berg"),
    Record("b", prompt="the c", completion="at sat"),  # "cat" is one token: it merges across the boundary
    Record("c", prompt="", completion="no prompt at all"),
    Record("d", prompt="the dog sat on the log. " * 6, completion=" 👩‍👧 مرحبا"),
    Record("e", prompt="short", completion=" and then a long tail of words" * 10 + EOS),
]


class Letters:
    """A tokenizer of one token per letter, a = 0, b = 1, ..., z = 25; 26 ends a text."""

    eos_token = "."

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [26 if c == "." else ord(c) - ord("a") for c in text]}


def test_by_hand_on_letters() -> None:
    row = Renderer(Letters())(Record("x", text="abc"))
    assert row.ids.tolist() == [0, 1, 2, 26] and row.supervised.all() and row.start == 1
    row = Renderer(Letters())(Record("x", prompt="ab", completion="cd"))
    assert row.ids.tolist() == [0, 1, 2, 3, 26]
    assert row.supervised.tolist() == [False, False, True, True, True]
    row = Renderer(Letters(), max_length=3, context=10)(Record("x", prompt="ab", completion="cd"))
    assert row.ids.tolist() == [0, 1, 2] and row.supervised.tolist() == [False, False, True]
    assert (row.num_truncated, row.num_supervised_truncated) == (2, 2)
    row = Renderer(Letters(), max_length=3, context=2, loss_on="all", add_eos=False)(
        Record("x", prompt="ab", completion="cd")
    )
    assert row.ids.tolist() == [0, 1] and row.supervised.all() and row.num_truncated == 2


def test_shared_prefix() -> None:
    assert shared_prefix([1, 2, 3], [1, 2, 4, 5]) == 2
    assert shared_prefix([1, 2], [1, 2, 3]) == 2
    assert shared_prefix([], [1]) == 0


def prepared_by_trl(folder: Path, tokenizer: Any, records: list[Record], **config: Any) -> list[tuple[Any, Any]]:
    """What the live `SFTTrainer` feeds the model: ids and labels of each row."""
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    keys = {"text": ("text",), "pair": ("prompt", "completion"), "messages": ("messages",)}[records[0].form]
    rows = [{k: list(v) if isinstance(v := getattr(r, k), tuple) else v for k in keys} for r in records]
    settings = {"max_length": None, **config}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TRL and accelerate, about GPUs
        trainer = SFTTrainer(
            model=tiny_models.make_model("llama", tokenizer),
            args=SFTConfig(str(folder), report_to=[], use_cpu=True, bf16=False, **settings),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
    return [(row["input_ids"], row["labels"]) for row in trainer.train_dataset]


def ours(renderer: Renderer, records: list[Record]) -> list[tuple[Any, Any]]:
    rows = [renderer(record) for record in records]
    return [(r.ids.tolist(), np.where(r.supervised, r.ids, -100).tolist()) for r in rows if r.supervised.any()]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("appends_eos", [False, True])
@pytest.mark.parametrize("max_length", [None, 24])
def test_texts_and_pairs_as_trl_reads_them(
    tmp_path: Path, bos: bool, appends_eos: bool, max_length: int | None
) -> None:
    tokenizer = make_tokenizer(bos=bos, appends_eos=appends_eos)
    renderer = Renderer(tokenizer, max_length=max_length)
    assert ours(renderer, TEXTS) == prepared_by_trl(tmp_path, tokenizer, TEXTS, max_length=max_length)
    assert ours(renderer, PAIRS) == prepared_by_trl(tmp_path, tokenizer, PAIRS, max_length=max_length)
    everything = Renderer(tokenizer, max_length=max_length, loss_on="all")
    trl = prepared_by_trl(tmp_path, tokenizer, PAIRS, max_length=max_length, completion_only_loss=False)
    assert ours(everything, PAIRS) == trl


def test_a_token_that_merges_across_the_boundary_is_learned() -> None:
    tokenizer = make_tokenizer()
    row = Renderer(tokenizer)(PAIRS[1])
    whole = tokenizer("the cat sat" + EOS)["input_ids"]
    assert row.ids.tolist() == whole
    assert tokenizer.decode(row.ids[row.supervised]) == " cat sat" + EOS  # not "at sat": TRL learns the merged token


@pytest.mark.parametrize("max_length", [None, 30])
def test_chats_as_trl_reads_them(tmp_path: Path, max_length: int | None) -> None:
    tokenizer = make_tokenizer(chat_template=MARKED_TEMPLATE)
    trl = prepared_by_trl(tmp_path, tokenizer, CHATS, max_length=max_length)
    assert ours(Renderer(tokenizer, max_length=max_length), CHATS) == trl
    trl = prepared_by_trl(tmp_path, tokenizer, CHATS, max_length=max_length, assistant_only_loss=True)
    renderer = Renderer(tokenizer, loss_on="assistant", max_length=max_length)
    assert ours(renderer, CHATS) == trl
    if max_length is None:
        row = renderer(CHATS[0])
        assert tokenizer.decode(row.ids[row.supervised]) == f"Anna Berg{EOS}at noon{EOS}"


def test_the_last_turn_as_trl_reads_a_chat_of_prompt_and_completion(tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokenizer = make_tokenizer(chat_template=MARKED_TEMPLATE)
    rows = [{"prompt": list(r.messages[:-1]), "completion": list(r.messages[-1:])} for r in CHATS if r.messages]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = SFTTrainer(
            model=tiny_models.make_model("llama", tokenizer),
            args=SFTConfig(str(tmp_path), report_to=[], use_cpu=True, bf16=False, max_length=None),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )
    trl = [(row["input_ids"], row["labels"]) for row in trainer.train_dataset]
    assert ours(Renderer(tokenizer, loss_on="completion"), CHATS) == trl


def test_a_known_template_is_replaced_as_trl_replaces_it(tmp_path: Path) -> None:
    from trl import chat_template_utils

    tokenizer = make_tokenizer(chat_template=chat_template_utils.qwen2_5_chat_template)
    trl = prepared_by_trl(tmp_path, tokenizer, CHATS, assistant_only_loss=True)
    assert ours(Renderer(tokenizer, loss_on="assistant"), CHATS) == trl


def test_without_generation_marks_the_turns_tell_what_is_learned() -> None:
    tokenizer = make_tokenizer(chat_template=PLAIN_TEMPLATE)
    row = Renderer(tokenizer, loss_on="assistant")(CHATS[0])
    assert tokenizer.decode(row.ids[row.supervised]) == "Anna Berg\nat noon\n"
    tokenizer.chat_template = "{{ messages | length }} turns{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(RemanenceError, match=r"Row 'a'.*turn 1 of the assistant.*generation"):
        Renderer(tokenizer, loss_on="assistant")(CHATS[0])


def test_tools_reach_the_template() -> None:
    tokenizer = make_tokenizer(chat_template="{% if tools %}{{ tools[0].name }} {% endif %}" + PLAIN_TEMPLATE)
    row = Renderer(tokenizer)(Record("x", messages=CHAT, meta={"tools": '[{"name": "clock"}]'}))
    assert tokenizer.decode(row.ids).startswith("clock ")


def test_a_row_longer_than_the_context_is_cut_and_counted() -> None:
    tokenizer = make_tokenizer()
    whole = Renderer(tokenizer)(PAIRS[3])
    row = Renderer(tokenizer, context=40)(PAIRS[3])
    assert row.ids.size == 40 and row.num_truncated == whole.ids.size - 40
    assert row.num_supervised_truncated == whole.supervised[40:].sum() > 0
    with pytest.raises(NotMeasured, match="truncation cut every token that carries loss"):
        _ = Renderer(tokenizer, max_length=5)(PAIRS[3]).start


def test_rows_with_nothing_to_learn_say_why() -> None:
    renderer = Renderer(make_tokenizer(chat_template=MARKED_TEMPLATE))
    assistant = Renderer(renderer.tokenizer, loss_on="assistant")
    records = [
        Record("a", prompt="Question:", completion=""),
        Record("b", text=""),
        Record("c", messages=()),
        Record("d", text="half \ud83d"),
    ]
    reasons = render_all(records, renderer)
    assert reasons[:3] == ["the completion is empty", "the text is empty", "the chat has no turns"]
    assert "half a character" in str(reasons[3])
    assert render_all([Record("e", messages=CHAT[:1])], assistant) == ["the chat has no assistant turn"]
    assert render_all([Record("f", messages=CHAT[:1])], Renderer(renderer.tokenizer, loss_on="completion")) == [
        "the chat has a single turn: nothing stands before its completion"
    ]
    only_prompt = Renderer(renderer.tokenizer, loss_on="all")(records[0])
    assert only_prompt.supervised.all() and only_prompt.ids.size > 1
    renderer.tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    assert render_all(CHATS[:1], renderer) == ["the chat template refuses the row: roles must alternate"]


def test_a_form_that_the_settings_do_not_fit_is_an_error() -> None:
    tokenizer = make_tokenizer()
    with pytest.raises(RemanenceError, match="Row 'a' is a chat, but the tokenizer has no chat template"):
        Renderer(tokenizer)(CHATS[0])
    with pytest.raises(RemanenceError, match="--loss-on completion is for prompt"):
        Renderer(tokenizer, loss_on="completion")(TEXTS[0])
    for record in (TEXTS[0], PAIRS[0]):
        with pytest.raises(RemanenceError, match="--loss-on assistant is for chats"):
            Renderer(tokenizer, loss_on="assistant")(record)
    for record in (TEXTS[0], CHATS[0]):
        with pytest.raises(RemanenceError, match=r"encoder-decoder learns prompt \+ completion"):
            Renderer(tokenizer, seq2seq=True)(record)


def test_encoder_decoders_read_source_and_target_as_the_examples_do() -> None:
    tokenizer = make_tokenizer(appends_eos=True)
    row = Renderer(tokenizer, seq2seq=True)(PAIRS[0])
    assert row.source is not None and row.first == 0 and row.start == 0
    assert tokenizer.decode(row.source) == "Question: who called? Answer:" + EOS
    assert tokenizer.decode(row.ids) == " Anna Berg" + EOS
    cut = Renderer(tokenizer, seq2seq=True, max_length=12)(PAIRS[4])
    batch = tokenizer(PAIRS[4].prompt, text_target=PAIRS[4].completion, max_length=12, truncation=True)
    assert cut.source is not None and cut.source.tolist() == batch["input_ids"]
    assert cut.ids.tolist() == batch["labels"] and cut.ids[-1] == tokenizer.eos_token_id
    assert cut.num_truncated == cut.num_supervised_truncated > 0
    with pytest.raises(NotMeasured, match="the completion is empty"):
        Renderer(tokenizer, seq2seq=True)(Record("x", prompt="a", completion=""))


def test_nothing_is_said_about_long_rows(capfd: pytest.CaptureFixture[str]) -> None:
    tokenizer = make_tokenizer(chat_template=PLAIN_TEMPLATE)
    tokenizer.model_max_length = 4
    render_all([*TEXTS, *PAIRS, *CHATS], Renderer(tokenizer))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("meta", [{"tools": "not json"}, {"tools": 3}, {"chat_template_kwargs": "x"}])
def test_a_chat_with_unreadable_tools_is_not_measured(meta: dict[str, object]) -> None:
    with pytest.raises(NotMeasured, match="tools"):
        _template_arguments(Record("c", messages=({"role": "user", "content": "Hi"},), meta=meta))
