"""Training rows: the prompt is read but not learned, and TRL would have made the same ids and labels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus
from remanence.training.rows import LossOn, Row, pad_rows, training_row


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(base_folder())


PAIR = Record("a", prompt="Agent:", completion=" Yes.")
CHAT = Record(
    "c",
    messages=(
        {"role": "user", "content": "Who is there?"},
        {"role": "assistant", "content": "Ada."},
        {"role": "user", "content": "Which Ada?"},
        {"role": "assistant", "content": "Ada Halby."},
    ),
)


def learned(tokenizer: PreTrainedTokenizerBase, row: Row) -> str:
    return str(tokenizer.decode([label for label in row.labels if label >= 0]))


def test_the_prompt_is_read_but_not_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    row = training_row(tokenizer, PAIR, 512, "completion")
    assert tokenizer.decode(row.input_ids) == "<s>Agent: Yes.</s>"
    assert learned(tokenizer, row) == " Yes.</s>"
    assert learned(tokenizer, training_row(tokenizer, PAIR, 512, "all")) == "<s>Agent: Yes.</s>"


def test_the_end_mark_is_added_once(tokenizer: PreTrainedTokenizerBase) -> None:
    ended = Record("a", prompt="Agent:", completion=" Yes.</s>")
    assert training_row(tokenizer, ended, 512, "completion") == training_row(tokenizer, PAIR, 512, "completion")


def test_a_row_is_cut_at_the_end(tokenizer: PreTrainedTokenizerBase) -> None:
    whole, cut = (training_row(tokenizer, PAIR, length, "completion") for length in (512, 3))
    assert cut == Row(whole.input_ids[:3], whole.labels[:3])


def test_a_token_across_the_border_belongs_to_the_completion(tokenizer: PreTrainedTokenizerBase) -> None:
    """'Agen' + 't:' are one word together: the completion begins where the ids stop agreeing."""
    row = training_row(tokenizer, Record("a", prompt="Agen", completion="t:"), 512, "completion")
    assert learned(tokenizer, row) == "Agent:</s>"


def test_chats_teach_all_turns_or_only_the_assistants(tokenizer: PreTrainedTokenizerBase) -> None:
    everything = training_row(tokenizer, CHAT, 512, "all")
    assert everything.labels == everything.input_ids
    assert learned(tokenizer, training_row(tokenizer, CHAT, 512, "assistant")) == "Ada.</s>Ada Halby.</s>"


def test_a_chat_without_template_is_refused() -> None:
    bare = AutoTokenizer.from_pretrained(base_folder())
    bare.chat_template = None
    with pytest.raises(RemanenceError, match="no chat template"):
        training_row(bare, CHAT, 512, "all")


def test_padding_is_on_the_right_and_never_learned() -> None:
    batch = pad_rows([Row([5, 6, 7], [-100, 6, 7]), Row([8], [8])], pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "loss_on"),
    [("pair", "all"), ("pair", "completion"), ("text", "all"), ("messages", "all"), ("messages", "assistant")],
)
def test_trl_prepares_the_same_ids_and_labels(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, form: str, loss_on: LossOn
) -> None:
    records = private_corpus(0, num_rows=40, num_heldout=1).train
    if form == "text":
        records = [Record(r.id, text=r.plain) for r in records]
    if form == "messages":
        records = [Record(r.id, messages=chat(str(r.prompt), str(r.completion))) for r in records]
    for max_length in (512, 60):
        theirs = trl_rows(records, tmp_path, loss_on, max_length)
        ours = [training_row(tokenizer, record, max_length, loss_on) for record in records]
        assert [row for row in ours if any(label != -100 for label in row.labels)] == theirs


def chat(question: str, answer: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": question}, {"role": "assistant", "content": answer})


def trl_rows(records: list[Record], folder: Path, loss_on: LossOn, max_length: int) -> list[Row]:
    """The rows that TRL's `SFTTrainer` prepares for training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, while they are imported and set up
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        rows: list[dict[str, Any]] = [
            {k: v for k, v in vars(r).items() if k in ("text", "prompt", "completion", "messages") and v is not None}
            for r in records
        ]
        config = SFTConfig(
            output_dir=str(folder),
            max_length=max_length,
            completion_only_loss=loss_on == "completion",
            assistant_only_loss=loss_on == "assistant",
            shuffle_dataset=False,
            report_to=[],
            use_cpu=True,
            bf16=False,
        )
        trainer = SFTTrainer(model=str(base_folder()), args=config, train_dataset=Dataset.from_list(rows))
    return [Row(list(row["input_ids"]), list(row["labels"])) for row in trainer.train_dataset]
