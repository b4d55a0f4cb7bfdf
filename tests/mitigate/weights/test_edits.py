"""The four weight edits as they are used: on a target, on an adapter, on an encoder-decoder, step by step."""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models

from remanence.core.catalogue import entries
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.markov import MarkovText
from remanence.mitigate.weights.constrained import Constrained, modified
from remanence.mitigate.weights.fusion import Fusion, fuse
from remanence.mitigate.weights.localized import Localized
from remanence.mitigate.weights.masks import block_matrices
from remanence.mitigate.weights.peers import copy_state
from remanence.mitigate.weights.task_vector import TaskVector, WeightDifference
from remanence.models.huggingface import HuggingFace
from remanence.models.render import Renderer
from remanence.training.guard import recited_fraction
from remanence.training.rows import Row, row_of
from remanence.training.settings import UnlearnSettings
from remanence.training.tiny import tiny_gpt2, train_lm

torch.set_num_threads(1)
TEXT = MarkovText(64, reserved=2)
DOCUMENTS = TEXT.sample(32, 32, 0)


class Pad:
    pad_token_id = 0
    eos_token_id = None


ROWS = [Row(x[:16], x[:16]) for x in DOCUMENTS.tolist()]
FORGET, RETAIN = ROWS[:4], ROWS[8:14]


def random_model(seed: int = 3) -> Any:
    return tiny_gpt2("small", vocab=64, seed=seed).requires_grad_(False)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_parameters()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one)


PEER = UnlearnSettings(learning_rate=1e-3, batch_size=4)
"""Training of a peer."""


def taking(steps: int, learning_rate: float = 1e-3, **more: Any) -> UnlearnSettings:
    return UnlearnSettings(learning_rate, steps, **more)


class Looks:
    """A stop callback that keeps the weights of every call, and stops after `most`."""

    def __init__(self, most: int = 99) -> None:
        self.most, self.strengths, self.states = most, [], []

    def __call__(self, strength: float, model: Any) -> bool:
        assert not model.training
        self.strengths.append(strength)
        self.states.append(weights(model))
        return len(self.strengths) >= self.most


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, 64)}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>")


def with_adapter(model: Any, alpha: int = 4) -> Any:
    """LoRA of rank 2, always with the same values of A and B."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(r=2, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))))
    return model.requires_grad_(False).eval()


# ----------------------------------------------------------------- task vectors


def test_a_task_vector_is_walked_straight():
    model = random_model()
    start, looks = weights(model), Looks(4)
    TaskVector(lambdas=(0.5, 1.0, 2.0, 4.0), training=UnlearnSettings(steps=3, learning_rate=1e-3)).optimize(
        model, Pad(), FORGET, RETAIN, looks
    )
    assert looks.strengths == [0, 0.5, 1.0, 2.0]
    assert same(looks.states[0], start)
    step = WeightDifference(start, looks.states[2])  # - tau
    for strength, state in zip(looks.strengths, looks.states, strict=True):
        expected = step.apply(start, strength)
        assert all(torch.allclose(state[name], expected[name], atol=1e-6) for name in state)
    assert not same(looks.states[1], start)


def test_from_the_base_the_vector_begins_there(tmp_path: Path, tokenizer: Any):
    base = random_model()
    base.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = random_model()
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight += 0.01
    start, looks = weights(model), Looks()
    settings = {"lambdas": (1.0,), "training": UnlearnSettings(steps=3, learning_rate=1e-3)}
    TaskVector("base", str(tmp_path), **settings).optimize(model, Pad(), FORGET, RETAIN, looks)
    forgot = random_model()
    other = Looks()
    TaskVector("target", **settings).optimize(forgot, Pad(), FORGET, RETAIN, other)
    # the base model trained on the rows moved by tau; the model moves back by the same tau from where it is
    expected = WeightDifference(weights(base), other.states[1]).apply(start)
    assert all(torch.allclose(looks.states[1][name], expected[name], atol=1e-5) for name in expected)
    with pytest.raises(RemanenceError, match="give its folder as base"):
        TaskVector("base").optimize(model, Pad(), FORGET, RETAIN, Looks())


def test_a_base_of_another_origin_is_refused(tmp_path: Path, tokenizer: Any):
    random_model(seed=8).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(RemanenceError, match="does not come from the same base"):
        TaskVector("base", str(tmp_path)).optimize(random_model(), Pad(), FORGET, RETAIN, Looks())


# ----------------------------------------------------------------------- fusion


def test_fusion_with_given_peers_is_the_weighted_mean(tmp_path: Path, tokenizer: Any):
    model, folders, peers = random_model(), [], []
    for i in range(2):
        peer = random_model()
        with torch.no_grad():
            for p in peer.parameters():
                p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
        peer.save_pretrained(tmp_path / str(i))
        tokenizer.save_pretrained(tmp_path / str(i))
        folders.append(str(tmp_path / str(i)))
        peers.append(weights(peer))
    start, looks = weights(model), Looks()
    Fusion(tuple(folders), alphas=(0.5, 2 / 3)).optimize(model, Pad(), FORGET, (), looks)
    expected = fuse([start, *peers])
    assert all(torch.allclose(looks.states[2][name], expected[name], atol=1e-6) for name in start)
    assert all(
        torch.allclose(looks.states[1][name], fuse([start, *peers], [2, 1, 1])[name], atol=1e-6) for name in start
    )


@pytest.mark.parametrize("method", ["arithmetic", "fisher", "ties"])
def test_fusion_makes_its_own_peer_of_the_retain_rows(tmp_path: Path, tokenizer: Any, method: Any):
    base, model = random_model(), random_model()
    base.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight += 0.01
    looks, flags = Looks(), [p.requires_grad for p in model.parameters()]
    fusion = Fusion(base=str(tmp_path), method=method, alphas=(0.5,), epochs=1, training=PEER, density=0.5)
    fusion.optimize(model, Pad(), FORGET, RETAIN, looks)
    assert looks.strengths == [0, 0.5] and not same(*looks.states)
    assert [p.requires_grad for p in model.parameters()] == flags
    with pytest.raises(RemanenceError, match="there are none"):
        fusion.optimize(model, Pad(), FORGET, (), Looks())


def test_an_adapter_is_fused_with_a_fresh_one_on_the_same_base():
    model = with_adapter(random_model())
    before, looks = weights(model), Looks()
    Fusion(alphas=(0.5,), epochs=2, training=PEER).optimize(model, Pad(), FORGET, RETAIN, looks)
    changed = {name for name in before if not torch.equal(before[name], looks.states[1][name])}
    assert changed and changed <= set(copy_state(model)) and all("lora_" in name for name in changed)
    assert {n: w.shape for n, w in looks.states[1].items()} == {n: w.shape for n, w in before.items()}
    with pytest.raises(RemanenceError, match="fuse adapters with method arithmetic"):
        Fusion(method="ties").optimize(model, Pad(), FORGET, RETAIN, Looks())


def test_adapters_from_folders_are_read_with_their_own_scaling(tmp_path: Path, tokenizer: Any):
    base = random_model()
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    peer = with_adapter(random_model(), alpha=8)
    with torch.no_grad():
        for name, p in peer.named_parameters():
            if "lora_B" in name:
                p.mul_(0.5)  # twice the scaling, half of B: the same adapter
    for config in peer.peft_config.values():
        config.base_model_name_or_path = str(tmp_path / "base")
    peer.save_pretrained(tmp_path / "peer", save_embedding_layers=False)
    model = with_adapter(random_model())
    looks, before = Looks(), weights(model)
    Fusion((str(tmp_path / "peer"),), alphas=(0.5,)).optimize(model, Pad(), FORGET, (), looks)
    for name in before:
        if "lora_A" in name:
            b = name.replace("lora_A", "lora_B")
            assert torch.allclose(looks.states[1][b] @ looks.states[1][name], before[b] @ before[name], atol=1e-5)
    whole = random_model()
    with pytest.raises(RemanenceError, match="both in the same form"):
        Fusion((str(tmp_path / "peer"),)).optimize(whole, Pad(), FORGET, (), Looks())
    other = with_adapter(random_model(seed=5))
    with pytest.raises(RemanenceError, match="another base model"):
        Fusion((str(tmp_path / "peer"),)).optimize(other, Pad(), FORGET, (), Looks())


# ------------------------------------------------------------------- localized


@pytest.mark.parametrize("mask", ["gradient", "random"])
def test_localized_changes_exactly_as_many_weights_as_its_mask_has(mask: Any):
    model = random_model()
    start, looks = weights(model), Looks()
    size = sum(start[name].numel() for name in block_matrices(model, dict(model.named_parameters())))
    Localized(0.02, mask, training=taking(4, check_every=2, batch_size=2)).optimize(model, Pad(), FORGET, RETAIN, looks)
    assert looks.strengths == [0, 2, 4]
    for state in looks.states[1:]:
        assert sum(int((state[name] != start[name]).sum()) for name in start) == round(0.02 * size)


def test_localized_takes_the_weights_with_the_largest_gradient():
    model = random_model()
    start, looks = weights(model), Looks()
    Localized(1e-4, training=taking(1, check_every=1, batch_size=8)).optimize(model, Pad(), FORGET, RETAIN, looks)
    live = random_model().requires_grad_(True)
    ids = torch.tensor([row.input_ids for row in FORGET])
    live(input_ids=ids, labels=ids).loss.backward()
    names = block_matrices(live, dict(live.named_parameters()))
    gradient = torch.cat([dict(live.named_parameters())[name].grad.abs().flatten() for name in names])
    changed = torch.cat([(looks.states[1][name] != start[name]).flatten() for name in names])
    assert gradient[changed].min() >= gradient[~changed].max()


def test_localized_on_an_adapter_touches_the_adapter_only():
    model = with_adapter(random_model())
    start, looks = weights(model), Looks()
    Localized(0.05, training=taking(2, check_every=2, batch_size=2)).optimize(model, Pad(), FORGET, RETAIN, looks)
    changed = {name: int((looks.states[1][name] != start[name]).sum()) for name in start}
    assert all("lora_" in name for name, n in changed.items() if n)
    assert sum(changed.values()) == round(0.05 * sum(w.numel() for n, w in start.items() if "lora_" in n))


# ----------------------------------------------------------------- constrained


@pytest.mark.parametrize("forget_loss", ["npo", "gradient_ascent"])
def test_no_weight_leaves_the_ball(forget_loss: Any):
    model = random_model()
    start, looks = weights(model), Looks()
    method = Constrained(1e-3, forget_loss=forget_loss, training=taking(6, check_every=2, batch_size=2))
    method.optimize(model, Pad(), FORGET, RETAIN, looks)
    moves = [max(float((state[n] - start[n]).abs().max()) for n in start) for state in looks.states]
    assert moves[0] == 0 and all(m <= 1e-3 + 1e-7 for m in moves) and moves[-1] > 9e-4


def test_radius_0_changes_no_bit_and_one_block_only_itself():
    model = random_model()
    start, looks = weights(model), Looks()
    Constrained(0.0, training=taking(2, batch_size=2)).optimize(model, Pad(), FORGET, RETAIN, looks)
    assert same(looks.states[-1], start)
    Constrained(1e-2, blocks=r"\.h\.0\.", training=taking(2, batch_size=2)).optimize(
        model, Pad(), FORGET, RETAIN, looks
    )
    changed = {name for name in start if not torch.equal(start[name], looks.states[-1][name])}
    assert changed and all(".h.0." in name for name in changed)


def test_a_wide_ball_is_plain_training_step_for_step():
    settings = {"training": taking(4, check_every=4, batch_size=2)}
    ends = []
    for delta, norm in ((float("inf"), "linf"), (1e9, "l2"), (1e9, "linf")):
        model, looks = random_model(), Looks()
        Constrained(delta, norm, **settings).optimize(model, Pad(), FORGET, RETAIN, looks)
        ends.append(looks.states[-1])
    assert same(ends[0], ends[1]) and same(ends[0], ends[2])
    model, looks = random_model(), Looks()
    Constrained(0.05, "l2", **settings).optimize(model, Pad(), FORGET, RETAIN, looks)
    start = weights(random_model())
    length = sum(float((looks.states[-1][n] - start[n]).double().square().sum()) for n in start) ** 0.5
    assert length == pytest.approx(0.05, rel=1e-4)


def test_replacements_are_said_in_place_of_what_is_forgotten():
    chat = ({"role": "user", "content": "who?"}, {"role": "assistant", "content": "Anna"})
    new = {"replacement": "nobody"}
    records = [
        Record("a", text="Anna called", group="forget", meta=new),
        Record("b", prompt="who?", completion="Anna", group="forget", meta=new),
        Record("c", messages=chat, group="forget", meta=new),
        Record("d", text="kept", group="retain"),
    ]
    text, pair, turns = modified(records)
    assert (text.text, pair.prompt, pair.completion) == ("nobody", "who?", "nobody")
    assert [turn["content"] for turn in turns.messages] == ["who?", "nobody"]
    assert modified(records[3:]) == []
    with pytest.raises(RemanenceError, match=r"2 of 3 rows .* row 'x' has none"):
        modified([*records[:2], Record("x", text="plain", group="forget")])


def test_an_encoder_decoder_is_edited_as_well():
    t5 = tiny_models.make_model("t5", tiny_models.make_tokenizer()).requires_grad_(False)
    forget, retain = [Row([5, 6, 7], [8, 9, 10]), Row([5, 8], [8])], [Row([9, 6], [11, 12]), Row([4], [7, 7])]
    settings = {"training": taking(2, check_every=2)}
    for method in (
        Localized(**settings),
        Constrained(**settings),
        TaskVector(lambdas=(1.0,), training=UnlearnSettings(steps=2, learning_rate=1e-4)),
    ):
        model, looks = copy.deepcopy(t5), Looks()
        method.optimize(model, Pad(), forget, retain, looks)
        assert not same(looks.states[0], looks.states[-1])


# --------------------------------------------------------------- as mitigations


def records() -> list[Record]:
    """Eight documents to forget, sixteen to keep, eight that nobody has seen."""
    which = ["forget"] * 8 + ["retain"] * 16 + ["heldout"] * 8
    return [
        Record(str(i), text=" ".join(f"w{t}" for t in ids), group=group)  # pyright: ignore[reportArgumentType]
        for i, (ids, group) in enumerate(zip(DOCUMENTS.tolist(), which, strict=True))
    ]


@pytest.fixture(scope="module")
def known(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[HuggingFace, str]:
    """A small model that knows its 24 documents by heart, and the folder of the base model that it comes from."""
    model, rng = tiny_gpt2("small", vocab=64), np.random.default_rng(1)
    train_lm(model, (torch.from_numpy(TEXT.sample(16, 32, rng)) for _ in range(40)), 3e-3)
    folder = tmp_path_factory.mktemp("base")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    batches = (torch.from_numpy(np.concatenate([DOCUMENTS[:24], TEXT.sample(8, 32, rng)])) for _ in range(120))
    train_lm(model, batches, 4e-3)
    return HuggingFace(model.requires_grad_(False), tokenizer, Renderer(tokenizer), "tiny", "f00d"), str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["task_vector", "fusion", "localized", "constrained"])
def test_a_target_forgets_within_the_limit_and_the_input_stays(known: tuple[HuggingFace, str], method: str):
    target, base = known
    system = {
        "task_vector": TaskVector(),
        "fusion": Fusion(base=base, epochs=10),
        "localized": Localized(),
        "constrained": Constrained(),
    }[method]
    before = weights(target.module)
    rows = [row_of(target.render(r)) for r in records() if r.group == "forget"]
    assert recited_fraction(target.module, rows) == 1
    changed: Any = system(target, records())
    assert same(weights(target.module), before)
    assert changed.name == f"tiny+{method}" and changed.fingerprint != "f00d"
    assert recited_fraction(changed.module, rows) <= 0.5


def test_all_four_stand_in_the_catalogue():
    found = {e.name: e for e in entries() if e.wing == "mitigate/weights"}
    assert {name: e.cls for name, e in found.items()} == {
        "constrained": "Constrained",
        "fusion": "Fusion",
        "localized": "Localized",
        "task_vector": "TaskVector",
    }
    assert all(e.needs == "Opens" for e in found.values())
