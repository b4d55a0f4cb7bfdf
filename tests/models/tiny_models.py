"""Tiny random models with a real tokenizer, for tests: built in a second, saved like any fine-tuned model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EOS, BOS, PAD = "<|end|>", "<|start|>", "<|pad|>"
CORPUS = (
    "the cat sat on the mat and the dog sat on the log",
    "Anna Berg called at noon on 12 May about invoice 4471 and paid 30 euros",
    "the patient came on Monday, was seen by Dr. Lind and went home",
    "Question: who called? Answer: Anna Berg. Question: when? Answer: at noon.",
    "user says hello; assistant says good morning, how can I help you today?",
)

PLAIN_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""A chat template without generation marks."""
MARKED_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}" + EOS + "{% endgeneration %}\n{% else %}{{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""The same with generation marks, for `assistant_only_loss`."""


def make_tokenizer(
    corpus: Iterable[str] = CORPUS,
    *,
    size: int = 420,
    bos: bool = False,
    appends_eos: bool = False,
    chat_template: str | None = None,
) -> Any:
    """A byte-level BPE tokenizer trained on `corpus`; `bos` and `appends_eos` say what it adds by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = [PAD, BOS, EOS, "<|user|>", "<|assistant|>", "<|system|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(list(corpus), trainer)
    added = [BOS] if bos else []
    backend.post_processor = processors.TemplateProcessing(
        single=" ".join([*added, "$A", *([EOS] if appends_eos else [])]),
        special_tokens=[(t, backend.token_to_id(t)) for t in (BOS, EOS)],
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=BOS, eos_token=EOS, pad_token=PAD)
    tokenizer.chat_template = chat_template
    return tokenizer


def make_model(kind: str, tokenizer: Any, *, seed: int = 0, positions: int = 128) -> Any:
    """A random model: `llama`, `gpt2`, `t5` or `bart`, two layers of width 32."""
    import torch
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    torch.manual_seed(seed)
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if kind == "llama":
        return LlamaForCausalLM(
            LlamaConfig(
                **ids,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=positions,
            )
        ).eval()
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(**ids, n_embd=32, n_layer=2, n_head=4, n_positions=positions)).eval()
    ids["decoder_start_token_id"] = tokenizer.pad_token_id
    if kind == "t5":
        return T5ForConditionalGeneration(
            T5Config(**ids, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_decoder_layers=2, num_heads=4)
        ).eval()
    assert kind == "bart", kind
    return BartForConditionalGeneration(
        BartConfig(
            **ids,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=positions,
            forced_eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()


def save_model(folder: Path, kind: str, *, tokenizer: Any = None, seed: int = 0, positions: int = 128) -> Path:
    """A folder with weights and tokenizer, as `save_pretrained` leaves it."""
    tokenizer = tokenizer or make_tokenizer(appends_eos=kind in {"t5", "bart"})
    make_model(kind, tokenizer, seed=seed, positions=positions).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_adapter(folder: Path, base: Path, *, seed: int = 1, named: str | None = None) -> Path:
    """A LoRA adapter on the causal model in `base` with weights that matter; `named` = the base its config names."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for an attribute under its old name
        tuned = get_peft_model(model, LoraConfig(r=4, init_lora_weights=False, task_type="CAUSAL_LM"))
    tuned.peft_config["default"].base_model_name_or_path = named or str(base)
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return folder
