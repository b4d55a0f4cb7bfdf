"""A model that is spread over places is the same model: same token table, same answers, whatever lies where."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_models
import torch

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.table import TokenRow
from remanence.core.target import cut
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.render import Renderer

ROWS = [Record(str(i), text=text) for i, text in enumerate(tiny_models.CORPUS)]
COLUMNS = ["gap", "logprob", "mean", "rank", "std"]
LLAMA = {"model.embed_tokens": "cpu", "model.layers": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu"}
MAPS: dict[str, Any] = {
    "map": "map",
    "one place": {"": "cpu"},
    "output layer on disk": {**LLAMA, "lm_head": "disk"},
    "layers on disk": {**LLAMA, "model.layers": "disk", "lm_head": "cpu"},
    "embeddings on disk": {**LLAMA, "model.embed_tokens": "disk", "lm_head": "cpu"},
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_model(tmp_path_factory.mktemp("models") / "llama", "llama")


def target(folder: Path, device: Any) -> HuggingFace:
    loaded = load_model(folder, device=device)
    renderer = Renderer(loaded.tokenizer, context=loaded.context)
    return HuggingFace(loaded.model, loaded.tokenizer, renderer, loaded.name, loaded.fingerprint)


@pytest.mark.parametrize("where", MAPS.values(), ids=MAPS)
def test_a_model_that_is_spread_out_fills_the_same_token_table(llama: Path, where: Any) -> None:
    plain, spread = target(llama, "cpu"), target(llama, where)
    assert spread.device == torch.device("cpu") and spread.fingerprint == plain.fingerprint
    for one, other in zip(plain.score(ROWS, COLUMNS), spread.score(ROWS, COLUMNS), strict=True):
        assert isinstance(one, TokenRow) and isinstance(other, TokenRow)
        for name in COLUMNS:
            np.testing.assert_allclose(one.columns[name], other.columns[name], rtol=1e-5, atol=1e-5)
        assert np.array_equal(one.columns["rank"], other.columns["rank"])


@pytest.mark.parametrize("where", MAPS.values(), ids=MAPS)
def test_a_model_that_is_spread_out_gives_the_same_answers(llama: Path, where: Any) -> None:
    plain, spread = target(llama, "cpu"), target(llama, where)
    prompts = [prompt for row in ROWS if (prompt := cut(plain.render(row), row.id, 4, 6)) is not None]
    assert len(prompts) == 5
    for one, other in zip(plain.generate(prompts, 6), spread.generate(prompts, 6), strict=True):
        assert np.array_equal(one.ids, other.ids)


def test_the_output_layer_is_still_held_back_when_it_lies_elsewhere(llama: Path) -> None:
    """The whole vocabulary never stands in memory, and after the pass the layer is fetched from disk as before."""
    spread = target(llama, MAPS["output layer on disk"])
    head: Any = spread.module.get_output_embeddings()
    before = head.forward
    list(spread.score(ROWS, COLUMNS))
    assert spread._held_back and head.forward == before and head.weight.is_meta


def test_a_nan_on_disk_is_found(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_models.save_model(tmp_path / "llama", "llama")
    assert not load_model(folder, device=MAPS["layers on disk"]).has_nan
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert load_model(folder, device=MAPS["layers on disk"]).has_nan


def test_an_adapter_is_put_on_a_model_that_is_spread_out_but_not_on_one_that_is_partly_on_disk(
    llama: Path, tmp_path: Path
) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "jobs"))
    import memorizers

    torch.manual_seed(0)
    adapter = memorizers.overfit(llama, tmp_path / "adapter", ROWS, steps=3, adapter=True)
    plain, spread = target(adapter, "cpu"), target(adapter, "map")
    for one, other in zip(plain.score(ROWS, COLUMNS), spread.score(ROWS, COLUMNS), strict=True):
        assert isinstance(one, TokenRow) and isinstance(other, TokenRow)
        np.testing.assert_allclose(one.columns["logprob"], other.columns["logprob"], rtol=1e-5, atol=1e-5)
    with pytest.raises(RemanenceError, match="partly on disk: merge the adapter"):
        load_model(adapter, device=MAPS["layers on disk"])
