"""The same rows through TRL's live `SFTTrainer` and through ours: the same labels, losses and weights; and packing."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.models.load import Loaded, load_model
from remanence.training.finetune import Trained, renderer_for, train_rows
from remanence.training.opening import open_for_training
from remanence.training.prepare import prepare
from remanence.training.rows import Row, plain_collator
from remanence.training.sequences import mean_loss
from remanence.training.settings import FinetuneSettings
from remanence.training.trainers import build_trainer

torch.set_num_threads(1)
ROWS = [
    Record(str(i), prompt=f"Question: who called on {i} May? Answer:", completion=f" {name} called at noon.")
    for i, name in enumerate(("Anna Berg", "Dr. Lind", "the cat on the mat", "the dog", "user", "assistant", "Anna"))
]
SETTINGS = FinetuneSettings(epochs=2, learning_rate=1e-3, batch_size=3, max_length=64, seed=5, device="cpu")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {kind: tiny_models.save_model(folder / kind, kind) for kind in ("llama", "gpt2", "t5")}


def trained(base: Path, out: Path, settings: FinetuneSettings, heldout: Sequence[Row] = ()) -> Trained:
    loaded = open_for_training(base, dropout=settings.dropout)
    rows = prepare(ROWS, renderer_for(loaded, settings))
    return train_rows(loaded, rows, settings, out, base=base, heldout=heldout, progress=False)


def apart(one: Any, other: Any) -> float:
    """The largest difference between two models' weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def plain_trl(base: Path, out: Path, settings: FinetuneSettings) -> Any:
    """TRL alone, from the raw rows, as its documentation writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, while they are imported and set up
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        config = SFTConfig(
            output_dir=str(out),
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            per_device_train_batch_size=settings.batch_size,
            max_length=settings.max_length,
            seed=settings.seed,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="epoch",
        )
        data = Dataset.from_list([{"prompt": r.prompt, "completion": r.completion} for r in ROWS])
        loaded = load_model(base)
        model = loaded.model.requires_grad_(True)
        return SFTTrainer(model=model, args=config, train_dataset=data, processing_class=loaded.tokenizer)


@pytest.mark.slow
def test_trl_alone_takes_the_same_rows_and_learns_the_same(bases: dict[str, Path], tmp_path: Path) -> None:
    """One TRL trainer from raw rows, ours on TRL, ours on the Trainer: labels equal, losses and weights to rounding."""
    theirs = plain_trl(bases["llama"], tmp_path, SETTINGS)
    loaded = open_for_training(bases["llama"])
    ours = prepare(ROWS, renderer_for(loaded, SETTINGS)).rows
    assert [Row(list(r["input_ids"]), list(r["labels"])) for r in theirs.train_dataset] == ours
    theirs.train()
    losses = [line["loss"] for line in theirs.state.log_history if "loss" in line]
    for name in ("trl", "hf"):
        made = trained(bases["llama"], tmp_path, replace(SETTINGS, trainer=name))
        assert [epoch.train_loss for epoch in made.epochs[1:]] == pytest.approx(losses, abs=1e-5)
        assert apart(made.model, theirs.model) < 1e-4, "a step moves a weight by up to 1e-3"
    assert apart(load_model(bases["llama"]).model, theirs.model) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_rows_in_a_bfd_pack_are_whole_and_do_not_see_each_other(
    bases: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    """All rows in packs of 64: every row is in one, and the packed pass gives the loss of the rows by themselves."""
    loaded = open_for_training(bases[kind])
    rows = prepare(ROWS, renderer_for(loaded, SETTINGS)).rows
    trainer = build_trainer(loaded, rows, replace(SETTINGS, trainer="trl", packing="bfd", batch_size=8), tmp_path)
    packs = list(trainer.train_dataset)
    assert 1 < len(packs) < len(rows)
    found = [tuple(ids) for pack in packs for ids in pieces(pack["input_ids"], pack["seq_lengths"])]
    assert sorted(found) == sorted(tuple(row.input_ids) for row in rows)
    batch = trainer.data_collator(packs)
    batch.pop("seq_idx", None)
    with torch.no_grad():
        packed = float(loaded.model.eval()(**batch).loss)
    alone = mean_loss(loaded.model, rows, plain_collator(loaded.tokenizer), 1, seq2seq=False)
    assert packed == pytest.approx(alone, abs=1e-5)


def pieces(ids: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [list(ids[end - length : end]) for end, length in zip(ends, lengths, strict=True)]


@pytest.mark.slow
def test_wrapped_packs_cut_rows_and_keep_every_token(bases: dict[str, Path], tmp_path: Path) -> None:
    loaded = open_for_training(bases["llama"])
    rows = prepare(ROWS, renderer_for(loaded, SETTINGS)).rows
    trainer = build_trainer(loaded, rows, replace(SETTINGS, trainer="trl", packing="wrapped"), tmp_path)
    packs = [list(pack["input_ids"]) for pack in trainer.train_dataset]
    assert sum(map(len, packs)) == sum(len(row.input_ids) for row in rows)
    assert sorted(map(len, packs))[1:] == [64] * (len(packs) - 1), "all packs but one are full"
    whole = [row for row in rows if any(contains(pack, row.input_ids) for pack in packs)]
    assert 0 < len(whole) < len(rows), "some rows are whole, some are cut"


def contains(pack: list[int], row: list[int]) -> bool:
    return any(pack[at : at + len(row)] == row for at in range(len(pack)))


def test_the_loss_on_other_rows_counts_every_token_once(bases: dict[str, Path], tmp_path: Path) -> None:
    """Whatever the batches, the mean over tokens is the same; it is taken before training and after each epoch."""
    for kind in ("gpt2", "t5"):
        loaded = load_model(bases[kind])
        seq2seq = kind == "t5"
        rows = prepare(ROWS, renderer_for(loaded, SETTINGS)).rows
        plain = plain_collator(loaded.tokenizer)
        by_hand = sum(one_row(loaded, row) for row in rows)
        tokens = sum(sum(label >= 0 for label in row.labels) for row in rows)
        for size in (1, 3, 7):
            assert mean_loss(loaded.model, rows, plain, size, seq2seq) == pytest.approx(by_hand / tokens, abs=1e-5)
        made = trained(bases[kind], tmp_path, SETTINGS, heldout=rows)
        losses = [epoch.heldout_loss for epoch in made.epochs]
        assert losses[0] == pytest.approx(by_hand / tokens, abs=1e-5)
        assert losses[-1] == pytest.approx(mean_loss(made.model, rows, plain, 2, seq2seq), abs=1e-5)
        assert [epoch.steps for epoch in made.epochs] == [0, 3, 6]
        assert made.epochs[0].train_loss is None and made.num_sequences == 7


@torch.no_grad()
def one_row(loaded: Loaded, row: Row) -> float:
    """Summed loss of a row, token by token, from the logits."""
    labels = torch.tensor([row.labels])
    given: dict[str, Any] = {"input_ids": torch.tensor([row.input_ids])}
    if loaded.family == "seq2seq":
        start = torch.tensor([[loaded.model.config.decoder_start_token_id]])
        logits = loaded.model(**given, decoder_input_ids=torch.cat([start, labels[:, :-1]], 1)).logits[0]
        targets = row.labels
    else:
        logits, targets = loaded.model(**given).logits[0, :-1], row.labels[1:]
    chances = logits.log_softmax(-1)
    return -sum(float(chances[place, id]) for place, id in enumerate(targets) if id >= 0)


def test_accumulated_batches_make_one_step(bases: dict[str, Path], tmp_path: Path) -> None:
    """Two batches of 3 before each step are the gradient of the batch of 6, token for token."""
    whole = trained(bases["llama"], tmp_path, replace(SETTINGS, batch_size=6))
    parts = trained(bases["llama"], tmp_path, replace(SETTINGS, batch_size=3, accumulate=2))
    assert [e.steps for e in parts.epochs] == [e.steps for e in whole.epochs] == [0, 2, 4]
    assert apart(parts.model, whole.model) < 1e-4


def test_what_trl_cannot_do_is_told(bases: dict[str, Path], tmp_path: Path) -> None:
    settings = replace(SETTINGS, trainer="trl")
    with pytest.raises(RemanenceError, match="an encoder-decoder, which TRL cannot train: use trainer='hf'"):
        trained(bases["t5"], tmp_path, settings)
    with pytest.raises(RemanenceError, match="packing='bfd' is TRL's: add trainer='trl'"):
        replace(SETTINGS, packing="bfd")
    loaded = open_for_training(bases["gpt2"])
    with pytest.raises(RemanenceError, match="TRL creates its own batches: a collator needs trainer='hf'"):
        build_trainer(loaded, [], settings, tmp_path, collator=plain_collator(loaded.tokenizer))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epochs": 0}, "epochs= must be above 0"),
        ({"learning_rate": -1.0}, "learning_rate= must be above 0"),
        ({"batch_size": 0}, "batch_size= must be at least 1"),
        ({"heldout_share": 1.0}, "heldout_share= must be at least 0 and below 1"),
        ({"loss_on": "prompt"}, "loss_on= is one of auto, all, completion, assistant"),
        ({"lora_alpha": 4}, "lora_alpha= needs lora_rank="),
        ({"trainer": "trl", "packing": "bfd", "max_length": None}, "packing= needs max_length="),
        ({"trainer": "trl", "packing": "bfd", "group_by_length": True}, "has no effect on packed rows"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(RemanenceError, match=words):
        FinetuneSettings(**wrong)
