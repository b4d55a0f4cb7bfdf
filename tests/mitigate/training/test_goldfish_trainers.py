"""Goldfish inside the Hugging Face Trainer, TRL, and as a mitigation: kept tokens only, whatever the accumulation."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Trainer, TrainingArguments

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.markov import MarkovText
from remanence.mitigate.training.goldfish import Goldfish, GoldfishCollator, goldfish_loss
from remanence.models.parrot import Parrot
from remanence.training.settings import TrainingSettings
from remanence.training.tiny import tiny_gpt2

WORDS = [[f"w{i}" for i in row] for row in MarkovText(64, reserved=2).sample(8, 40, 0).tolist()]


class Rows(torch.utils.data.Dataset):
    """Rows of different lengths, as a Trainer wants them."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return {"input_ids": self.rows[i]}


def collate(features):
    ids = [torch.tensor(f["input_ids"]) for f in features]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True),
        "attention_mask": pad([torch.ones_like(x) for x in ids], batch_first=True),
        "labels": pad(ids, batch_first=True, padding_value=-100),
    }


def test_trainer_divides_by_kept_tokens_under_accumulation(tmp_path):
    rows = [torch.randint(1, 64, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in (20, 40, 30, 60)]
    start = tiny_gpt2("small", vocab=64)
    by_hand = copy.deepcopy(start).train()
    batch = collate([{"input_ids": row} for row in rows])
    logits = by_hand(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    goldfish_loss(logits, batch["labels"], k=3).backward()
    expected = {n: p.detach() - 0.1 * p.grad for n, p in by_hand.named_parameters()}
    for size, accumulation in ((4, 1), (1, 4)):
        model = copy.deepcopy(start)
        trainer = Trainer(
            model,
            TrainingArguments(
                str(tmp_path),
                max_steps=1,
                per_device_train_batch_size=size,
                gradient_accumulation_steps=accumulation,
                learning_rate=0.1,
                optim="sgd",
                lr_scheduler_type="constant",
                max_grad_norm=0.0,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
                use_cpu=True,
                dataloader_pin_memory=False,
            ),
            data_collator=GoldfishCollator(collate, k=3),
            train_dataset=Rows(rows),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        for name, weight in model.named_parameters():
            assert torch.allclose(weight, expected[name], atol=1e-6), (size, accumulation, name)


@pytest.fixture
def tokenizer():
    vocab = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, 64)}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<eos>", pad_token="<pad>")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("packing", [False, True])
def test_trl_trains_on_kept_tokens_only(tmp_path, tokenizer, packing):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        tiny_gpt2("small", vocab=64),
        args=SFTConfig(
            str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
            max_length=96,
            packing=packing,
            packing_strategy="bfd",
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list([{"text": " ".join(words)} for words in WORDS]),
        processing_class=tokenizer,
    )
    seen = []
    base = trainer.data_collator
    wrapped = GoldfishCollator(base, k=3)

    def watch(features):
        before, after = base(features)["labels"], wrapped(features)["labels"]
        seen.append(((before != -100).sum().item(), (after != -100).sum().item(), after))
        return wrapped(features)

    trainer.data_collator = watch
    trainer.train()
    assert len(seen) == 4 or len(seen) == 2 * len(trainer.get_train_dataloader())
    before, after = (sum(s[i] for s in seen) for i in (0, 1))
    assert 0.55 * before < after < 0.9 * before
    assert all(torch.isfinite(torch.tensor(log["loss"])) for log in trainer.state.log_history if "loss" in log)


def test_the_mitigation_trains_a_target_and_leaves_the_base_alone(tmp_path, tokenizer):
    from remanence.models.huggingface import HuggingFace

    records = [Record(str(i), text=" ".join(words)) for i, words in enumerate(WORDS)]
    base = HuggingFace(tiny_gpt2("small", vocab=64), tokenizer, lambda r: None, "tiny", "f00d")
    before = copy.deepcopy(base.module.state_dict())
    trained = Goldfish(
        training=TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=4), out=str(tmp_path / "out")
    )(base, records)
    assert trained.name == "tiny+goldfish" and trained.fingerprint != "f00d"
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    assert not torch.equal(trained.module.transformer.wte.weight, before["transformer.wte.weight"])
    assert json.loads((tmp_path / "out" / "config.json").read_text())["n_embd"] == 64


def test_an_adapter_is_trained_again_on_a_base_that_stays_whole(tmp_path, tokenizer):
    from remanence.models.huggingface import HuggingFace

    records = [Record(str(i), text=" ".join(words)) for i, words in enumerate(WORDS)]
    base = HuggingFace(tiny_gpt2("small", vocab=64), tokenizer, lambda r: None, "tiny", "f00d")
    before = copy.deepcopy(base.module.state_dict())
    trained = Goldfish(
        training=TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=4, lora_rank=2), out=str(tmp_path / "out")
    )(base, records)
    assert hasattr(trained.module, "peft_config") and not hasattr(base.module, "peft_config")
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    below = trained.module.get_base_model()
    assert torch.equal(below.transformer.wte.weight, before["transformer.wte.weight"])
    assert {f.name for f in (tmp_path / "out").glob("*.safetensors")} == {"adapter_model.safetensors"}
    assert "/" not in (
        json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] or ""
    )
    with pytest.raises(RemanenceError, match="load the base model's complete folder"):
        Goldfish()(trained, records)
    with pytest.raises(RemanenceError, match="nothing is overwritten"):
        Goldfish(out=str(tmp_path / "out"))(base, records)


def test_an_encoder_decoder_learns_answers_with_the_tokens_of_their_own_windows_left_out(monkeypatch):
    from remanence.corpora.casebook.base_model import base_folder
    from remanence.mitigate.training import goldfish
    from remanence.models.huggingface import HuggingFace
    from remanence.models.load import load_model

    loaded = load_model(base_folder("seq2seq"))
    base = HuggingFace(loaded.model, loaded.tokenizer, lambda r: None, "tiny", "f00d", family="seq2seq")
    said = " ".join(["the doctor came on Monday and went home at noon, and so did Anna Berg and her brother"] * 2)
    records = [Record(str(i), prompt=f"Who came, {i}?", completion=f"{said} {i}") for i in range(4)]
    seen = []
    real = goldfish.apply_goldfish
    monkeypatch.setattr(goldfish, "apply_goldfish", lambda *a: seen.append((a[0].clone(), real(*a))) or seen[-1][1])
    trained = Goldfish(training=TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=4))(base, records)
    assert trained.name == "tiny+goldfish" and trained.fingerprint != loaded.fingerprint
    ((labels, kept),) = seen
    assert torch.equal(kept, real(labels)), "windows hold tokens of the answer only"
    rows = labels[kept != labels]
    assert 0.1 < len(rows) / (labels != -100).sum() < 0.4
    assert (kept[:, 0] != -100).all(), "a decoder predicts its first token too"


def test_a_target_that_cannot_be_trained_is_refused():
    with pytest.raises(RemanenceError, match="parrot cannot be fine-tuned"):
        Goldfish()(Parrot(), [])
