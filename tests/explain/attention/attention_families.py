"""Tiny random models of many families, as targets, and the slow way to their attention: one row, all maps kept."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from remanence.core.table import Rendered
from remanence.explain.attention.statistics import TOP
from remanence.models.huggingface import HuggingFace

VOCABULARY, PAD, EOS, START = 64, 0, 1, 2
CAUSAL = (
    "llama",
    "mistral",
    "gpt2",
    "gpt_neox",
    "gpt_neo",
    "gptj",
    "bloom",
    "falcon",
    "opt",
    "qwen3",
    "gpt_oss",
    "phi3",
)
SEQ2SEQ = ("t5", "bart", "mt5", "pegasus")
WINDOW = 6
"""How far Mistral and GPT-Neo's local layers look back here."""


class Ids:
    """A tokenizer as far as the pass needs one."""

    pad_token_id, eos_token_id, bos_token_id = PAD, EOS, START

    def decode(self, ids: Sequence[int], **arguments: Any) -> str:
        return " ".join(map(str, ids))


def model(kind: str, *, attention: str | None = None, layers: int = 2, heads: int = 4, seed: int = 0) -> Any:
    """A random model of width 32; its attention is pointed enough to tell the statistics apart."""
    import transformers as t

    torch.manual_seed(seed)
    ids = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": START}
    plain = {
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "max_position_embeddings": 64,
    }
    grouped = plain | {"intermediate_size": 48, "num_key_value_heads": heads // 2}
    start = {"decoder_start_token_id": START}
    t5 = ids | start | {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": layers, "num_heads": heads}
    bart = (
        ids | start | {"d_model": 32, "encoder_layers": layers, "decoder_layers": layers, "max_position_embeddings": 64}
    )
    bart |= {"encoder_attention_heads": heads, "decoder_attention_heads": heads}
    bart |= {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
    gpt = ids | {"n_embd": 32, "n_layer": layers, "n_head": heads, "n_positions": 64}
    config: Any = {
        "llama": lambda: t.LlamaConfig(**ids, **grouped),
        "mistral": lambda: t.MistralConfig(**ids, **grouped, sliding_window=WINDOW),
        "qwen3": lambda: t.Qwen3Config(**ids, **grouped, head_dim=8),
        "phi3": lambda: t.Phi3Config(**ids, **grouped),
        "gpt_oss": lambda: t.GptOssConfig(
            **ids, **grouped, head_dim=8, num_local_experts=2, num_experts_per_tok=1, sliding_window=WINDOW
        ),
        "gpt2": lambda: t.GPT2Config(**gpt),
        "gptj": lambda: t.GPTJConfig(**gpt, rotary_dim=4),
        "gpt_neox": lambda: t.GPTNeoXConfig(**ids, **plain, intermediate_size=48),
        "gpt_neo": lambda: t.GPTNeoConfig(
            **ids,
            hidden_size=32,
            num_layers=layers,
            num_heads=heads,
            max_position_embeddings=64,
            attention_types=[[["global", "local"], layers // 2]],
            window_size=WINDOW,
        ),
        "bloom": lambda: t.BloomConfig(**ids, hidden_size=32, n_layer=layers, n_head=heads),
        "falcon": lambda: t.FalconConfig(**ids, hidden_size=32, num_hidden_layers=layers, num_attention_heads=heads),
        "opt": lambda: t.OPTConfig(**ids, **plain, ffn_dim=48, word_embed_proj_dim=32),
        "t5": lambda: t.T5Config(**t5),
        "mt5": lambda: t.MT5Config(**t5),
        "bart": lambda: t.BartConfig(**bart, forced_eos_token_id=EOS),
        "pegasus": lambda: t.PegasusConfig(**bart, forced_eos_token_id=EOS),
    }[kind]()
    auto = t.AutoModelForSeq2SeqLM if kind in SEQ2SEQ else t.AutoModelForCausalLM
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = auto.from_config(config, **({} if attention is None else {"attn_implementation": attention}))
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.ndim == 2 and "embed" not in name and "wte" not in name:
                weight.mul_(6 if kind not in {"t5", "mt5"} else 2)
    return made.eval().requires_grad_(False)


def target(kind: str, **settings: Any) -> HuggingFace:
    """The model as a target of rows that are rendered already."""
    return HuggingFace(model(kind, **settings), Ids(), None, kind, "0", "seq2seq" if kind in SEQ2SEQ else "causal")


def rows(kind: str, lengths: Sequence[int] = (9, 14, 3, 20, 9), seed: int = 0) -> list[Rendered]:
    """Rows of these lengths; of a decoder-only row the first third carries no loss."""
    rng = np.random.default_rng(seed)
    made: list[Rendered] = []
    for number, length in enumerate(lengths):
        ids = rng.integers(3, VOCABULARY, length).astype(np.int32)
        if kind in SEQ2SEQ:
            source = rng.integers(3, VOCABULARY, length + 5 * (number % 2)).astype(np.int32)
            made.append(Rendered(ids, np.ones(length, bool), source))
        else:
            made.append(Rendered(ids, np.arange(length) >= length // 3))
    return made


def maps(module: Any, row: Rendered) -> dict[str, list[np.ndarray]]:
    """[H, Q, K] by kind and layer, as `output_attentions=True` gives them for the row alone; the model is eager."""
    assert module.config._attn_implementation == "eager"
    ids = torch.from_numpy(row.ids.astype(np.int64))[None]
    with torch.no_grad():
        if row.source is None:
            found = {"self": module(input_ids=ids, output_attentions=True, use_cache=False).attentions}
        else:
            source = torch.from_numpy(row.source.astype(np.int64))[None]
            said = torch.cat([torch.tensor([[START]]), ids[:, :-1]], 1)
            out = module(input_ids=source, decoder_input_ids=said, output_attentions=True, use_cache=False)
            found = {
                "encoder": out.encoder_attentions,
                "decoder": out.decoder_attentions,
                "cross": out.cross_attentions,
            }
    return {kind: [layer[0].double().numpy() for layer in layers] for kind, layers in found.items()}


def slow(weights: np.ndarray, visible: np.ndarray) -> list[float]:
    """One row at a time, from the textbook: the mean absolute difference for Gini."""
    a = weights[visible].astype(np.float64)
    n = a.size
    if n < 2 or a.sum() == 0:
        return [math.nan] * 4
    a = a / a.sum()
    entropy = -sum(x * math.log(x) for x in a if x > 0) / math.log(n)
    top = float(np.sort(a)[::-1][:TOP].sum()) if n > TOP else math.nan
    spread = sum(abs(x - y) for x in a for y in a) / (2 * n * n * a.mean())
    return [entropy, 1 / (n * float((a**2).sum())), top, spread * n / (n - 1)]


WINDOWS = {"mistral": (WINDOW,) * 2, "gpt_neo": (None, WINDOW), "gpt_oss": (WINDOW, None)}
"""How far each layer looks back, where not over the whole row."""


def wanted(module: Any, kind: str, row: Rendered, queries: str) -> dict[str, np.ndarray]:
    """[layers, heads, 4] by kind: every map kept, every query by itself."""
    found: dict[str, np.ndarray] = {}
    for part, layers in maps(module, row).items():
        said = np.flatnonzero(row.scored) - (1 if row.source is None else 0)
        places = np.arange(layers[0].shape[1]) if part == "encoder" or queries == "all" else said
        means = []
        for depth, heads in enumerate(layers):
            back = WINDOWS.get(kind, (None, None))[depth] or 10**6
            query, key = np.indices(heads.shape[1:])
            seen = (key <= query) & (key > query - back) if part in {"self", "decoder"} else np.ones_like(query, bool)
            each = np.array([[slow(head[q], seen[q]) for q in places] for head in heads])
            there = ~np.isnan(each)
            with np.errstate(invalid="ignore"):
                means.append(np.where(there, each, 0).sum(1) / there.sum(1))
        found[part] = np.stack(means)
    return found
