"""Models are opened safely, or refused with a sentence that helps."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import tiny_models
import torch

from remanence.core.errors import RemanenceError
from remanence.models import weights
from remanence.models.load import Loaded, has_nan, load_base, load_model, load_tokenizer, quiet
from remanence.models.vocabulary import require_same_vocabulary, same_vocabulary
from remanence.models.weights import base_of, model_folder, weights_fingerprint


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))


def refusal(name: str | Path, **options: str | Path) -> str:
    with pytest.raises(RemanenceError) as caught:
        load_model(name, **options)  # pyright: ignore[reportArgumentType]
    return str(caught.value)


@pytest.mark.parametrize(
    ("fixture", "family", "context"),
    [
        ("tiny_llama", "causal", 128),
        ("tiny_gpt2", "causal", 128),
        ("tiny_bart", "seq2seq", 128),
        ("tiny_t5", "seq2seq", None),
    ],
)
def test_a_folder_is_opened_quietly(
    fixture: str,
    family: str,
    context: int | None,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder: Path = request.getfixturevalue(fixture)
    capfd.readouterr()
    loaded = load_model(folder)
    assert capfd.readouterr() == ("", "")
    assert (loaded.family, loaded.context, loaded.name) == (family, context, fixture.removeprefix("tiny_"))
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.num_parameters == sum(p.numel() for p in loaded.model.parameters())
    assert loaded.vocabulary == len(loaded.tokenizer) and not loaded.has_nan and loaded.base is None
    assert load_base(folder) is None and base_of(folder) is None
    batch = loaded.tokenizer("the cat sat", return_tensors="pt")
    extra = {"decoder_input_ids": batch["input_ids"]} if family == "seq2seq" else {}
    logits = loaded.model(**batch, **extra).logits
    assert logits.shape[-1] == loaded.vocabulary and bool(logits.isfinite().all())


def test_dtype_and_device(tiny_llama: Path) -> None:
    assert load_model(tiny_llama, dtype="bfloat16").model.dtype == torch.bfloat16
    assert load_model(str(tiny_llama), dtype="auto", device="auto").model.dtype == torch.float32
    assert "use one of auto, float32" in refusal(tiny_llama, dtype="int8")
    assert "no device 'toaster'" in refusal(tiny_llama, device="toaster")
    if not torch.cuda.is_available():
        assert "use --device cpu" in refusal(tiny_llama, device="cuda")


def test_pickled_weights_are_never_opened(tiny_llama: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    folder, adapter = copy(tiny_llama, tmp_path), copy(tiny_adapter, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Bomb()}, folder / "pytorch_model.bin")
    assert "weights of llama are pickled (pytorch_model.bin)" in refusal(folder)
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"weight": Bomb()}, adapter / "adapter_model.bin")
    message = refusal(adapter)
    assert "adapter are pickled (adapter_model.bin)" in message and "call save_pretrained" in message
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_beside_safetensors_is_left_alone(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path)
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_model(folder).fingerprint == load_model(tiny_llama).fingerprint


def test_an_adapter_finds_its_base(tiny_llama: Path, tiny_adapter: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    tuned, base = load_model(tiny_adapter), load_base(tiny_adapter)
    assert capfd.readouterr() == ("", "")
    assert base is not None and base.name == "llama" and tuned.name == "adapter"
    assert tuned.base == base_of(tiny_adapter) == str(tiny_llama)
    assert tuned.fingerprint != base.fingerprint and tuned.num_parameters > base.num_parameters
    assert not tuned.model.training and not any(p.requires_grad for p in tuned.model.parameters())
    batch = tuned.tokenizer("the cat sat", return_tensors="pt")
    difference = tuned.model(**batch).logits - base.model(**batch).logits
    assert difference.abs().max() > 1e-4
    with tuned.model.disable_adapter():
        torch.testing.assert_close(tuned.model(**batch).logits, base.model(**batch).logits)
    require_same_vocabulary(tuned, base)


def test_an_adapter_whose_base_has_moved(tiny_llama: Path, tmp_path: Path) -> None:
    adapter = tiny_models.save_adapter(tmp_path / "adapter", tiny_llama, named="/gone/away/llama")
    message = refusal(adapter)
    assert "was trained on /gone/away/llama, which is not on this machine" in message and "--base" in message
    with pytest.raises(RemanenceError, match="was trained on /gone/away/llama"):
        load_base(adapter)
    tuned, base = load_model(adapter, base=tiny_llama), load_base(adapter, base=tiny_llama)
    assert base is not None and base.name == "llama" and tuned.base == str(tiny_llama)
    beside = tiny_models.save_adapter(tmp_path / "beside", tiny_llama, named="llama")
    copy(tiny_llama, tmp_path)
    assert load_model(beside).fingerprint == load_model(adapter, base=tiny_llama).fingerprint
    hub = tiny_models.save_adapter(tmp_path / "hub", tiny_llama, named="nobody/no-such-model")
    assert "its Hub name to fetch it, with --base" in refusal(hub)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": None}))
    assert "does not name its base model" in refusal(adapter)


def test_an_adapter_on_the_wrong_base(tiny_adapter: Path, tiny_gpt2: Path, tmp_path: Path) -> None:
    assert refusal(tiny_adapter, base=tiny_gpt2).startswith("Cannot load adapter: ")
    adapter = copy(tiny_adapter, tmp_path)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["target_modules"] = [*config["target_modules"], "o_proj"]
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    assert "does not fit the base model llama" in refusal(adapter)
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "PROMPT_TUNING"}))
    assert "PROMPT_TUNING adapter, which adds tokens" in refusal(adapter)


def test_tokens_added_in_training_come_with_the_adapter(tiny_llama: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base = load_model(tiny_llama)
    tokenizer = load_tokenizer(tiny_llama, "llama")
    tokenizer.add_tokens(["<|new|>"], special_tokens=True)
    model = tiny_models.make_model("llama", load_tokenizer(tiny_llama, "llama"))
    with quiet():
        model.resize_token_embeddings(len(tokenizer))
        tuned = get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM", modules_to_save=["embed_tokens"]))
        tuned.peft_config["default"].base_model_name_or_path = str(tiny_llama)
        tuned.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
        tokenizer.save_pretrained(tmp_path / "adapter")
    loaded = load_model(tmp_path / "adapter")
    assert loaded.vocabulary == base.vocabulary + 1 == len(loaded.tokenizer)
    assert same_vocabulary(loaded.tokenizer, base.tokenizer)
    with pytest.raises(RemanenceError, match="it lacks the last 1 of them"):
        require_same_vocabulary(loaded, base)


def test_a_model_without_tokenizer(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert refusal(folder) == (
        "llama has no tokenizer: save the one used in training beside the weights, "
        "with tokenizer.save_pretrained(FOLDER)."
    )


def test_a_base_model_with_another_vocabulary(tiny_llama: Path, tmp_path: Path) -> None:
    other_words = tiny_models.make_tokenizer(["completely other words here, zebra quartz"] * 3)
    other = load_model(tiny_models.save_model(tmp_path / "other", "llama", tokenizer=other_words))
    tuned = load_model(tiny_llama)
    assert same_vocabulary(tuned.tokenizer, tuned.tokenizer) and not same_vocabulary(tuned.tokenizer, other.tokenizer)
    with pytest.raises(RemanenceError, match=r"base model other has another vocabulary than llama \(.*fine-tuning"):
        require_same_vocabulary(tuned, other)
    smaller = tiny_models.make_tokenizer(size=380)
    assert not same_vocabulary(tuned.tokenizer, smaller)
    padded = load_tokenizer(tiny_llama, "llama")
    padded.add_tokens(["<|extra|>"], special_tokens=True)
    assert same_vocabulary(tuned.tokenizer, padded)


def test_folders_that_hold_no_model(tiny_llama: Path, tmp_path: Path) -> None:
    assert "There is no model folder" in refusal(tmp_path / "none")
    assert "There is no model folder" in refusal("./none/at/all")
    (tmp_path / "out").mkdir()
    assert "it has no config.json: name the one you saved it to" in refusal(tmp_path / "out")
    shutil.copytree(tiny_llama, tmp_path / "out" / "checkpoint-9")
    assert "name one of the folders in it, checkpoint-9" in refusal(tmp_path / "out")
    assert "is a file" in refusal(tiny_llama / "config.json")
    folder = copy(tiny_llama, tmp_path)
    (folder / "config.json").write_text("{broken")
    assert "Cannot read config.json of llama" in refusal(folder)
    (folder / "config.json").write_text("[]")
    assert "config.json of llama is not a JSON object" in refusal(folder)


def test_a_mistyped_path_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert refusal("runs/my-modle") == "There is no model folder runs/my-modle: check the path."


def test_a_hub_name_that_cannot_be_had() -> None:
    message = refusal("nobody/no-such-model")
    assert message.startswith("'nobody/no-such-model' is neither a folder here nor a model that can be had")


def test_weights_that_are_not_whole(tiny_llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(tiny_llama, tmp_path)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    file.write_bytes(file.read_bytes()[:-64])
    assert refusal(folder).startswith("Cannot load llama: ")
    save_file({k: v for k, v in tensors.items() if "layers.1.mlp" not in k}, file, {"format": "pt"})
    assert "weights of llama are not whole: 3 are missing or misshapen" in refusal(folder)
    file.unlink()
    assert "llama has no weights" in refusal(folder)


def test_nan_weights_are_reported(tiny_llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(tiny_llama, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    for value in (float("nan"), float("inf")):
        tensors["model.norm.weight"][3] = value
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        assert load_model(folder).has_nan
    assert not has_nan(torch.nn.Linear(2, 2))


def test_models_that_do_not_generate_text(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["LlamaForSequenceClassification"]}))
    assert "llama is a LlamaForSequenceClassification: only models that generate" in refusal(folder)
    bad = {**config, "model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(bad))
    (folder / "own.py").write_text("raise SystemExit('ran foreign code')")
    assert "read that code, then pass trust_remote_code=True" in refusal(folder)


def test_the_fingerprint_follows_the_weights(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = tiny_models.save_model(tmp_path / "same", "llama")
    other = tiny_models.save_model(tmp_path / "other", "llama", seed=1)
    prints = [load_model(f).fingerprint for f in (tiny_llama, same, other)]
    assert prints[0] == prints[1] != prints[2]
    monkeypatch.setattr(weights, "_WHOLE", 0)  # large files are sampled
    sampled = [weights_fingerprint([f / "model.safetensors"]) for f in (tiny_llama, same, other)]
    assert sampled[0] == sampled[1] != sampled[2] and sampled[0] != prints[0]


def test_names_hold_no_paths(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_llama)
    assert load_model(".").name == "llama"
    assert model_folder(".") == Path()
    loaded: Loaded = load_model(f"{tiny_llama}/")
    assert loaded.name == "llama"
