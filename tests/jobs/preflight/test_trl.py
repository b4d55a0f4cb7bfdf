"""Pre-flight against TRL's live `SFTTrainer`: each configuration, with what it does to rows worked out by hand."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "trainer"))
sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import pytest
import small_trainers as small
import tiny_models
import torch
from transformers import DataCollatorForLanguageModeling

from remanence import preflight
from remanence.core.record import Record
from remanence.jobs.preflight.result import Preflight
from remanence.models.render import Renderer

pytestmark = pytest.mark.slow
"""TRL takes half a minute to import here."""

CHATS = [
    Record(
        f"c{i}",
        messages=(
            {"role": "user", "content": f"Question: who called on {i} May?"},
            {"role": "assistant", "content": f"{name} called at noon."},
        ),
    )
    for i, name in enumerate(small.NAMES)
]
LONG = Record("long", prompt="Question: who called?", completion=" Anna Berg and Dr. Lind and the cat." * 6)
ALL_PROMPT = Record("prompt", prompt="Question: who called? " * 20, completion=" Anna Berg.")
ROWS = [*small.ROWS, LONG, ALL_PROMPT]


def whole(records: Sequence[Record], tokenizer: Any, loss_on: Any = "auto") -> list[Any]:
    """The rows uncut, as the tests count them."""
    return [Renderer(tokenizer, loss_on)(record) for record in records]


def statuses(found: Preflight) -> dict[str, tuple[int, int, int, int, int]]:
    return {row.id: tuple(row[1:]) for row in found.rows}  # type: ignore[misc]


def test_a_short_row_stays_whole_a_long_row_is_cut_and_a_long_prompt_is_dropped(tmp_path: Path) -> None:
    """max_length 40: eight rows fit; `long` loses its end; of `prompt` nothing to learn is left, and TRL drops it."""
    trainer = small.sft(tmp_path, ROWS, max_length=40)
    found = preflight(trainer, ROWS)
    rendered = {r.id: row for r, row in zip(ROWS, whole(ROWS, trainer.processing_class), strict=True)}
    for id, (tokens, fed, learned, lost, parts) in statuses(found).items():
        row = rendered[id]
        assert tokens == row.ids.size
        if id == "prompt":
            assert (fed, learned, parts) == (0, 0, 0) and lost == row.scored.sum()
        else:
            assert (fed, parts) == (min(40, tokens), 1)
            assert (learned, lost) == (row.scored[:40].sum(), row.scored[40:].sum())
    assert found.sequences == 9 and not found.no_loss
    assert [w.split(":")[0] for w in found.warnings] == [
        f"1 of 10 rows is cut and loses {rendered['long'].ids.size - 40} tokens, "
        f"{rendered['long'].scored[40:].sum()} of which would have carried loss (row long)",
        "1 of 10 rows is in no sequence with the token ids that the tokenizer gives (row prompt)",
    ]


def test_the_raw_columns_of_an_unpacked_data_set_are_enough_for_the_rows_that_are_there(tmp_path: Path) -> None:
    trainer = small.sft(tmp_path, ROWS, max_length=40)
    given = {id: status for id, status in statuses(preflight(trainer, ROWS)).items() if id != "prompt"}
    assert statuses(preflight(trainer)) == given


def test_keeping_the_end_cuts_the_beginning(tmp_path: Path) -> None:
    trainer = small.sft(tmp_path, ROWS, max_length=40, truncation_mode="keep_end")
    found = statuses(preflight(trainer, ROWS))
    rendered = whole([LONG, ALL_PROMPT], trainer.processing_class)
    for id, row in zip(("long", "prompt"), rendered, strict=True):
        learned = row.scored[-39:].sum()
        assert found[id][1:] == (40, learned, row.scored.sum() - learned, 1)


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
def test_packs_are_split_into_their_rows(tmp_path: Path, strategy: str) -> None:
    """Oracle: TRL's own packs, searched for every row by comparing lists of ids at every place."""
    trainer = small.sft(tmp_path, ROWS, packing=True, packing_strategy=strategy, max_length=60)
    found = preflight(trainer, ROWS)
    rendered = whole(ROWS, trainer.processing_class)
    packs = [list(pack["input_ids"]) for pack in trainer.train_dataset]
    for row, status in zip(rendered, found.rows, strict=True):
        size = row.ids.size
        stands = any(inside(row.ids.tolist(), pack) for pack in packs)
        if stands:
            assert (status.fed, status.parts, status.lost) == (size, 1, 0)
        elif strategy == "bfd":
            assert (status.fed, status.parts) == (60, 1) and size > 60
            assert any(inside(row.ids[:60].tolist(), pack) for pack in packs)
            assert status.lost == row.scored[60:].sum()
        else:
            assert status.fed == size and status.parts == fewest_parts(row.ids.tolist(), packs)
    split = sum(status.parts > 1 for status in found.rows)
    assert split >= 2 if strategy == "wrapped" else split == {"bfd": 0, "bfd_split": 2}[strategy]
    assert found.tokens == sum(map(len, packs))


def inside(row: list[int], pack: list[int]) -> bool:
    return any(pack[at : at + len(row)] == row for at in range(len(pack) - len(row) + 1))


def fewest_parts(row: list[int], packs: list[list[int]]) -> int:
    """By trying every cut: the fewest stretches, each somewhere in a pack, that make up the row."""
    least = [0] + [len(row)] * len(row)
    for end in range(1, len(row) + 1):
        for start in range(end):
            if least[start] + 1 < least[end] and any(inside(row[start:end], pack) for pack in packs):
                least[end] = least[start] + 1
    return least[-1]


@pytest.mark.parametrize(("strategy", "see"), [("bfd", False), ("wrapped", None)])
def test_whether_rows_of_a_pack_see_each_other_is_measured_on_the_model(
    tmp_path: Path, strategy: str, see: bool | None
) -> None:
    trainer = small.sft(tmp_path, packing=True, packing_strategy=strategy, max_length=60)
    found = preflight(trainer, small.ROWS)
    assert found.setup.see_each_other is see
    assert any("see the rows before them" in w for w in found.warnings) == (strategy == "wrapped")


def test_a_collator_without_row_boundaries_is_detected(tmp_path: Path) -> None:
    """The packs of `bfd` through TRL's collator with padding instead of position ids: rows read each other."""
    trainer = small.sft(tmp_path, packing=True, packing_strategy="bfd", max_length=60)
    trainer.data_collator.padding_free = False
    found = preflight(trainer, small.ROWS)
    assert found.setup.see_each_other is True
    assert any("see the rows before them" in w for w in found.warnings)


def test_padding_free_batches_keep_rows_separate(tmp_path: Path) -> None:
    """TRL takes padding_free without packing only where no max_length is set; rows are fed whole."""
    trainer = small.sft(tmp_path, padding_free=True, max_length=None)
    found = preflight(trainer, small.ROWS)
    assert found.setup.padding_free and all(row.fed == row.tokens and row.parts == 1 for row in found.rows)
    rendered = whole(small.ROWS, trainer.processing_class)
    assert found.learned == sum(int(row.scored.sum()) for row in rendered)
    assert not found.warnings


def test_completion_only_loss_is_the_default_for_pairs_and_can_be_off(tmp_path: Path) -> None:
    for config, on in (({}, "completion"), ({"completion_only_loss": False}, "all")):
        trainer = small.sft(tmp_path, **config)
        found = preflight(trainer)
        rendered = whole(small.ROWS, trainer.processing_class, on)
        assert found.setup.loss_on == on
        assert found.learned == sum(int(row.scored.sum()) for row in rendered)
        assert [row.learned for row in found.rows] == [int(row.scored.sum()) for row in rendered]


@pytest.mark.parametrize("template", [tiny_models.MARKED_TEMPLATE, tiny_models.PLAIN_TEMPLATE])
def test_assistant_only_loss_needs_generation_marks(tmp_path: Path, template: str) -> None:
    """With marks, what stands between them is learned. Without, and without a template TRL knows, TRL refuses."""
    made = small.model(tokenizer=tiny_models.make_tokenizer(chat_template=template))
    if template == tiny_models.PLAIN_TEMPLATE:
        with pytest.raises(ValueError, match="template"):
            small.sft(tmp_path, CHATS, made=made, assistant_only_loss=True)
        return
    trainer = small.sft(tmp_path, CHATS, made=made, assistant_only_loss=True)
    found = preflight(trainer, secrets=["who called on 3 May", "Dr. Lind called at noon."])
    tokenizer = made[1]
    learned = [len(tokenizer(c.messages[1]["content"] + tiny_models.EOS)["input_ids"]) for c in CHATS]  # type: ignore
    assert [row.learned for row in found.rows] == learned
    assert [one.state for one in found.secrets] == ["masked", "whole"]


def test_a_chat_template_without_loss_mask_gives_loss_to_every_turn(tmp_path: Path) -> None:
    made = small.model(tokenizer=tiny_models.make_tokenizer(chat_template=tiny_models.PLAIN_TEMPLATE))
    found = preflight(small.sft(tmp_path, CHATS, made=made))
    assert found.setup.loss_on == "all" and found.learned == found.tokens - len(CHATS), "all but the first token"
    assert found.ends == (0, 0), "this template does not end a chat with the end-of-text token"


@pytest.mark.parametrize("tied", [False, True])
def test_an_adapter_and_tied_embeddings_do_not_change_the_sequences(tmp_path: Path, tied: bool) -> None:
    from peft import LoraConfig

    plain = preflight(small.sft(tmp_path)).json()
    net, tokenizer = small.model("gpt2" if tied else "llama")
    assert bool(net.config.tie_word_embeddings) is tied
    targets = {"modules_to_save": ["wte"]} if tied else {}
    adapter = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", **targets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT asks transformers for an attribute under its old name
        found = preflight(small.sft(tmp_path, made=(net, tokenizer), peft_config=adapter))
    assert found.json() == plain


def test_a_row_without_a_learned_token_is_found_in_data_that_is_tokenized_already(tmp_path: Path) -> None:
    raw = [
        {"input_ids": [7, 8, 9], "labels": [-100, 8, 9]},
        {"input_ids": [7, 8, 9, 10], "labels": [-100] * 4},
        {"input_ids": [11, 12], "labels": [11, -100]},
    ]
    trainer = small.sft(tmp_path, raw=raw, max_length=None)
    found = preflight(trainer)
    assert found.no_loss == (1, 2), "the only learned token of the third is its first, which nothing predicts"
    assert found.warnings[0].startswith("2 sequences of 3 have no token to learn (places 1, 2)")
    assert found.not_compared is not None and "no raw columns" in found.not_compared


def test_a_collator_that_overwrites_labels_loses_the_mask(tmp_path: Path) -> None:
    """transformers' own causal collator copies ids into labels: every prompt token gets a loss, counted by hand."""
    made = small.model()
    collator = DataCollatorForLanguageModeling(made[1], mlm=False)
    trainer = small.sft(tmp_path, made=made, data_collator=collator)
    found = preflight(trainer)
    rendered = whole(small.ROWS, made[1])
    prompts = sum(int((~row.supervised[1:]).sum()) for row in rendered)
    assert found.mask_lost == (prompts, 8)
    assert any(f"puts a loss on {prompts:,} tokens in 8 sequences" in w for w in found.warnings)


def test_padding_with_the_end_of_text_token_removes_its_loss(tmp_path: Path) -> None:
    made = small.model()
    made[1].pad_token = made[1].eos_token
    collator = DataCollatorForLanguageModeling(made[1], mlm=False)
    found = preflight(small.sft(tmp_path, made=made, data_collator=collator, completion_only_loss=False))
    assert found.mask_added == (8, 8) and found.ends == (0, 8)
    assert any("does not learn to stop" in w for w in found.warnings)


def test_secrets_are_whole_masked_cut_split_or_absent(tmp_path: Path) -> None:
    """Cut to 40 tokens; the secrets stand in a completion, in a prompt, across the cut, beyond it, and nowhere."""
    made = small.model()
    tokenizer = made[1]
    digits = Record("long", prompt=LONG.prompt, completion=f" {' '.join(str(n * n) for n in range(11, 60))} ")
    at_cut = tokenizer.decode(Renderer(tokenizer)(digits).ids[34:46].tolist())
    beyond = "ZEBRA 99"
    rows = [*small.ROWS, Record("long", prompt=LONG.prompt, completion=str(digits.completion) + beyond)]
    trainer = small.sft(tmp_path, rows, made=made, max_length=40)
    found = preflight(
        trainer, rows, secrets=["Dr. Lind called at noon", "who called on 3 May", at_cut, beyond, "never said"]
    )
    assert [one.state for one in found.secrets] == ["whole", "masked", "cut", "absent", "absent"]
    assert found.secrets[0].times == 1 and found.secrets[0].learned == found.secrets[0].tokens > 0
    assert not any("Lind" in warning for warning in found.warnings), "secrets are identified by number"


def test_a_secret_is_split_by_wrapped_packs(tmp_path: Path) -> None:
    trainer = small.sft(tmp_path, packing=True, packing_strategy="wrapped", max_length=30)
    secrets = [str(record.completion).strip() for record in small.ROWS]
    found = preflight(trainer, small.ROWS, secrets=secrets)
    texts = [trainer.processing_class.decode(pack["input_ids"]) for pack in trainer.train_dataset]
    for one, secret in zip(found.secrets, secrets, strict=True):
        assert (one.state == "split") == (not any(secret in text for text in texts))
    assert {one.state for one in found.secrets} == {"whole", "split"}


def test_pre_flight_changes_nothing(tmp_path: Path) -> None:
    runs: list[Any] = []
    for look in (False, True):
        torch.manual_seed(1)
        trainer = small.sft(tmp_path)
        if look:
            _ = preflight(trainer, small.ROWS)
        trainer.train()
        runs.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


def test_the_table_and_the_json_hold_the_same_counts(tmp_path: Path) -> None:
    found = preflight(small.sft(tmp_path, ROWS, max_length=40), ROWS, secrets=["Dr. Lind called at noon"])
    text, json = found.text(), found.json()
    assert f"{json['tokens']:,}" in text and "cut                   1" in text and "left out              1" in text
    assert len(json["rows"]) == 10 and json["warnings"] == found.warnings and "! 1 of 10 rows is cut" in text
