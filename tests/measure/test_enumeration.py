"""Every one of the 625 continuations of four tokens over a vocabulary of five, under every scheme of a grid.

The closed form comes from the target's one teacher-forced pass. The enumeration asks the model afresh at each of the
156 inner nodes of the tree and lets transformers' own logits warpers say what can be drawn there. Both start from the
model's float32 logits; from there on both are float64. Tolerance: 1e-6 on sums of probabilities, 1e-5 nats on logs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Prompt
from remanence.measure.extraction.np_discoverable import prob_extracted, suffix_logprobs
from remanence.models.huggingface import HuggingFace

Found = dict[SamplingScheme, np.ndarray]
V, K = 5, 4
GIVEN = (1, 4, 2)
SUFFIXES = list(itertools.product(range(V), repeat=K))
SCHEMES = [
    SamplingScheme(t, k, p)
    for t, k, p in itertools.product((0.5, 1.0, 1.5), (None, 1, 2, 3, 40), (None, 0.05, 0.4, 0.7, 0.95, 1.0))
]
MIXED = [SamplingScheme(), SamplingScheme(0.7), SamplingScheme(1.0, 2), SamplingScheme(1.3, 4, 0.8)]


class Letters:
    """A tokenizer of five letters without special tokens."""

    pad_token_id = eos_token_id = None

    def decode(self, ids: list[int], **options: Any) -> str:
        return "".join("abcde"[i] for i in ids)


def make(kind: str) -> HuggingFace:
    torch.manual_seed(1)
    none = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if kind == "gpt2":
        module: Any = GPT2LMHeadModel(
            GPT2Config(vocab_size=V, n_embd=16, n_layer=2, n_head=2, n_positions=16, tie_word_embeddings=False, **none)
        )
    else:
        module = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=V,
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=16,
                **none,
            )
        )
    with torch.no_grad():  # so that some continuations are likely and some are not
        module.get_output_embeddings().weight *= 1.5 / module(input_ids=torch.tensor([[*GIVEN, 0, 1]])).logits.std()
    return HuggingFace(module, Letters(), None, kind, "x")


@pytest.fixture(params=["gpt2", "llama"], scope="module")
def target(request: pytest.FixtureRequest) -> HuggingFace:
    return make(request.param)


@pytest.fixture(scope="module")
def closed(target: HuggingFace) -> Found:
    return closed_form(target, SCHEMES)


@pytest.fixture(scope="module")
def tree(target: HuggingFace) -> Found:
    return enumerated(target, SCHEMES)


def closed_form(target: HuggingFace, schemes: Sequence[SamplingScheme]) -> Found:
    """[625] log p_z of every suffix, from one pass over the 625 rows."""
    rows = [Rendered(np.array([*GIVEN, *z], np.int32), np.ones(len(GIVEN) + K, bool)) for z in SUFFIXES]
    table = list(target.score_rendered(rows, [s.column for s in schemes]))
    found = {}
    for scheme in schemes:
        end_to_end = np.concatenate([row.columns[scheme.column] for row in table if isinstance(row, TokenRow)])
        found[scheme] = suffix_logprobs(end_to_end, K)[len(GIVEN) :: len(GIVEN) + K]  # the window at each row's end
    return found


def warped(logits_BV: torch.Tensor, scheme: SamplingScheme) -> torch.Tensor:
    scores: Any = TemperatureLogitsWarper(scheme.temperature)(None, logits_BV.double())  # pyright: ignore
    if scheme.top_k is not None:
        scores = TopKLogitsWarper(scheme.top_k)(None, scores)  # pyright: ignore
    if scheme.top_p is not None and scheme.top_p < 1:
        scores = TopPLogitsWarper(scheme.top_p)(None, scores)  # pyright: ignore
    return scores.log_softmax(-1)


@torch.inference_mode()
def enumerated(target: HuggingFace, schemes: Sequence[SamplingScheme]) -> Found:
    """[625] log p_z of every suffix, walking down the tree of continuations."""
    logits = {
        depth: target.module(
            input_ids=torch.tensor([[*GIVEN, *node] for node in itertools.product(range(V), repeat=depth)])
        ).logits[:, -1]
        for depth in range(K)
    }
    found = {}
    for scheme in schemes:
        log_p = torch.zeros(1, dtype=torch.float64)
        for depth in range(K):
            log_p = (log_p[:, None] + warped(logits[depth], scheme)).flatten()
        found[scheme] = log_p.numpy()
    return found


def test_the_probabilities_of_all_continuations_add_up_to_one(closed: Found):
    for scheme, log_p in closed.items():
        assert not np.isnan(log_p).any()
        assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-6), scheme.name


def test_the_closed_form_is_the_enumeration_for_every_continuation(closed: Found, tree: Found):
    for scheme in SCHEMES:
        np.testing.assert_array_equal(np.isneginf(closed[scheme]), np.isneginf(tree[scheme]), err_msg=scheme.name)
        np.testing.assert_allclose(closed[scheme], tree[scheme], atol=1e-5, rtol=1e-5, err_msg=scheme.name)


def test_the_grid_is_no_formality(tree: Found):
    """Schemes differ: between a single continuation and all 625 can be drawn."""
    counts = {int(np.isfinite(log_p).sum()) for log_p in tree.values()}
    assert 1 in counts and 625 in counts and len(counts) > 10


@pytest.mark.parametrize("scheme", MIXED, ids=lambda s: s.name)
def test_two_thousand_real_draws_agree_with_the_closed_form(target: HuggingFace, scheme: SamplingScheme):
    """Four targets with p_z > 1 %: the 99.9 % Clopper-Pearson band of each count holds p_z."""
    log_p = closed_form(target, [scheme])[scheme]
    likely = np.flatnonzero(log_p > np.log(0.01))
    chosen = [int(likely[i]) for i in np.linspace(0, len(likely) - 1, 4).astype(int)]
    assert len(set(chosen)) == 4
    prompt = Prompt("r", np.array(GIVEN, np.int32), np.zeros(0, np.int32))
    target.batch_tokens = 500 * (len(GIVEN) + K)  # four batches, so that one seed for all of them would show
    drawn = [tuple(a.ids.tolist()) for a in target.generate([prompt] * 2000, K, scheme, seed=0)]
    for z in chosen:
        band = binomtest(drawn.count(SUFFIXES[z]), 2000).proportion_ci(0.999)
        assert band.low <= np.exp(log_p[z]) <= band.high, SUFFIXES[z]


def test_n_draws_hit_as_often_as_the_closed_form_says():
    """P(at least one hit in n) against 400 groups of five real draws."""
    target, scheme = make("llama"), SamplingScheme(0.7)
    log_p = closed_form(target, [scheme])[scheme]
    z = int(np.argsort(log_p)[-3])
    prompt = Prompt("r", np.array(GIVEN, np.int32), np.zeros(0, np.int32))
    drawn = [tuple(a.ids.tolist()) for a in target.generate([prompt] * 2000, K, scheme, seed=1)]
    groups = sum(SUFFIXES[z] in drawn[i : i + 5] for i in range(0, 2000, 5))
    band = binomtest(groups, 400).proportion_ci(0.999)
    assert band.low <= prob_extracted(log_p[z], 5) <= band.high
