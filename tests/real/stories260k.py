"""Turn the shared stories260K weights (llama2.c format) into a Hugging Face Llama folder; a helper of tests only.

The file holds seven little-endian integers and then float32 tensors; rotary pairs are interleaved there and halved in
Hugging Face, so the query and key rows change places.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def convert(source: Path, out: Path) -> Path:
    """Write config, safetensors and tokenizer to `out`, and give it back."""
    model = _model(source)
    model.save_pretrained(out)
    _tokenizer(source / "tok512.bin").save_pretrained(out)
    return out


def _model(source: Path) -> LlamaForCausalLM:
    raw = (source / "stories260K.bin").read_bytes()
    dim, hidden, layers, heads, kv_heads, vocab, length = struct.unpack("7i", raw[:28])
    values = np.frombuffer(raw, np.float32, offset=28)
    shapes = json.loads((source / "config.json").read_text())["tensors"]
    tensors: dict[str, torch.Tensor] = {}
    at = 0
    for name, shape in shapes:
        size = int(np.prod(shape))
        tensors[name] = torch.from_numpy(values[at : at + size].reshape(shape).copy())
        at += size
    assert at == values.size, "the file is not what its description says"
    config = LlamaConfig(
        vocab_size=abs(vocab),
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    state = {"model.embed_tokens.weight": tensors["tok"], "model.norm.weight": tensors["rms_final"]}
    places = {
        "rms_att": "input_layernorm",
        "wv": "self_attn.v_proj",
        "wo": "self_attn.o_proj",
        "rms_ffn": "post_attention_layernorm",
        "w1": "mlp.gate_proj",
        "w2": "mlp.down_proj",
        "w3": "mlp.up_proj",
    }
    for i in range(layers):
        layer = f"model.layers.{i}"
        state |= {f"{layer}.{place}.weight": tensors[name][i] for name, place in places.items()}
        state[f"{layer}.self_attn.q_proj.weight"] = _halved(tensors["wq"][i], heads)
        state[f"{layer}.self_attn.k_proj.weight"] = _halved(tensors["wk"][i], kv_heads)
    lacking, unknown = model.load_state_dict(state, strict=False)
    assert lacking == ["lm_head.weight"] or not lacking, lacking
    assert not unknown, unknown
    model.tie_weights()
    return model


def _halved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rotary rows from interleaved pairs (even, odd) to two halves."""
    rows, width = weight.shape
    return weight.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)


def _tokenizer(path: Path) -> PreTrainedTokenizerFast:
    raw = path.read_bytes()
    pieces: list[tuple[str, float]] = []
    at = 4
    while at < len(raw):
        score, size = struct.unpack_from("fi", raw, at)
        pieces.append((raw[at + 8 : at + 8 + size].decode(), score))
        at += 8 + size
    names = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    words = names + [piece for piece, _ in pieces[len(names) :]]
    vocab = {word: i for i, word in enumerate(words)}
    scores = {word: score for word, (_, score) in zip(words, pieces, strict=True)}
    merges = [
        (scores[word], word[:cut], word[cut:])
        for word in words[len(names) :]
        for cut in range(1, len(word))
        if word[:cut] in vocab and word[cut:] in vocab
    ]
    merges.sort(key=lambda merge: -merge[0])
    tokenizer = Tokenizer(
        BPE(vocab, [(a, b) for _, a, b in merges], unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in names[:3]])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>"
    )


if __name__ == "__main__":
    print(convert(Path(sys.argv[1]), Path(sys.argv[2])))
