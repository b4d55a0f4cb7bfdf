"""vLLM as a target, on a stand-in with its documented interface around a tiny model: vLLM itself was not run here."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.target import Generates, ScoresRendered, cut
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.render import Renderer
from remanence.models.vllm import VLLM, open_vllm

ROWS = [
    Record("a", text="the cat sat on the mat and the dog"),
    Record("b", prompt="Who?", completion=" Anna Berg came"),
]


@dataclass
class Logprob:
    logprob: float
    rank: int
    decoded_token: str | None = None


class LLM:
    """The part of `vllm.LLM` that is used, with a Hugging Face model behind it."""

    def __init__(self, model: str, **engine: Any) -> None:
        assert {*engine} <= {"dtype", "gpu_memory_utilization", "seed", "trust_remote_code"}
        self.model = load_model(model).model
        self.asked: list[Any] = []

    def generate(self, prompts: list[Any], sampling_params: list[Any], use_tqdm: bool = True) -> list[Any]:
        assert not use_tqdm and len(prompts) == len(sampling_params)
        self.asked += sampling_params
        return [self._one(p["prompt_token_ids"], s) for p, s in zip(prompts, sampling_params, strict=True)]

    def _one(self, ids: list[int], asked: Any) -> Any:
        said: list[int] = []
        with torch.inference_mode():
            while len(said) < asked.max_tokens:
                said.append(int(self.model(torch.tensor([ids + said])).logits[0, -1].argmax()))
            table = torch.log_softmax(self.model(torch.tensor([ids])).logits[0].double(), -1)
        prompt: list[Any] | None = None
        if asked.prompt_logprobs is not None:
            prompt = [None]
            for t in range(1, len(ids)):
                order = table[t - 1].argsort(descending=True).tolist()
                names = {*order[: asked.prompt_logprobs], ids[t]}
                prompt.append({i: Logprob(float(table[t - 1][i]), order.index(i) + 1) for i in names})
        return types.SimpleNamespace(outputs=[types.SimpleNamespace(token_ids=said)], prompt_logprobs=prompt)


@pytest.fixture
def target(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> VLLM:
    @dataclass
    class SamplingParams:
        temperature: float = 1.0
        top_p: float = 1.0
        top_k: int = 0
        seed: int | None = None
        max_tokens: int | None = 16
        prompt_logprobs: int | None = None

    module = types.ModuleType("vllm")
    module.__dict__.update(LLM=LLM, SamplingParams=SamplingParams, TokensPrompt=dict)
    monkeypatch.setitem(sys.modules, "vllm", module)
    return open_vllm(str(tiny_llama), Renderer(load_model(tiny_llama).tokenizer), "llama", "0")


@pytest.fixture(scope="module")
def local(tiny_llama: Path) -> HuggingFace:
    loaded = load_model(tiny_llama)
    return HuggingFace(loaded.model, loaded.tokenizer, Renderer(loaded.tokenizer), loaded.name, loaded.fingerprint)


def test_its_token_table_is_that_of_the_local_model(target: VLLM, local: HuggingFace) -> None:
    assert isinstance(target, Generates) and isinstance(target, ScoresRendered)
    columns = ["gap", "logprob", "logprob[T=1]", "rank", "mean"]
    for far, near in zip(target.score(ROWS, columns), local.score(ROWS, columns), strict=True):
        assert isinstance(far, TokenRow) and isinstance(near, TokenRow)
        assert sorted(far.columns) == ["gap", "logprob", "logprob[T=1]", "rank"]
        for name in ("gap", "logprob"):
            np.testing.assert_allclose(far.columns[name], near.columns[name], atol=1e-4)
        assert far.columns["rank"].tolist() == near.columns["rank"].tolist()
        assert far.rendered.ids.tolist() == near.rendered.ids.tolist() and far.text == near.text


def test_its_greedy_answers_are_those_of_the_local_model(target: VLLM, local: HuggingFace) -> None:
    prompt = cut(target.render(ROWS[0]), "a", 2, 4)
    assert prompt is not None
    assert target.generate([prompt], 4)[0].ids.tolist() == local.generate([prompt], 4)[0].ids.tolist()
    asked = target.engine.asked[-1]
    assert (asked.temperature, asked.max_tokens, asked.seed) == (0.0, 4, 0)


def test_schemes_are_mapped_and_draws_differ_by_their_place(target: VLLM) -> None:
    prompt = cut(target.render(ROWS[0]), "a", 2, 4)
    assert prompt is not None
    target.generate([prompt, prompt], 4, SamplingScheme(0.7, top_p=0.9), seed=5)
    asked = target.engine.asked[-2:]
    assert [(one.temperature, one.top_k, one.top_p, one.seed) for one in asked] == [
        (0.7, -1, 0.9, 5),
        (0.7, -1, 0.9, 6),
    ]


def test_a_row_that_cannot_be_read_keeps_its_reason(target: VLLM) -> None:
    told = list(target.score([Record("e", text=""), ROWS[0]], ["logprob"]))
    assert told[0] == "the text is empty" and isinstance(told[1], TokenRow)


def test_without_vllm_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RemanenceError, match=r"pip install 'remanence\[vllm\]'"):
        open_vllm("x", None, "x", "0")


def test_an_audit_runs_under_vllm_as_it_does_here(target: VLLM, tiny_llama: Path, tmp_path: Path) -> None:
    """`vllm:FOLDER` for the tuned model and a plain folder for the base: the same model twice."""
    import remanence

    rows = [{"id": "a", "text": "the cat sat on the mat and the dog sat on the log"}]
    settings: dict[str, Any] = {"prefixes": (0,), "new_tokens": 4, "generate": "all", "show_progress": False}
    found = remanence.audit(f"vllm:{tiny_llama}", rows, base=tiny_llama, out=tmp_path / "run", **settings)
    line = found.verdict["headline"]
    assert line["n"] == 1 and line["over_base"] == 0
    plus = {f["target"]: f["reason"] for f in found.run.lines("findings") if f["measure"] == "min_k_plus_plus"}
    assert plus == {"tuned": "the model does not give mean, std", "base": None}
    assert found.run.spec["models"]["tuned"]["name"] == tiny_llama.name
