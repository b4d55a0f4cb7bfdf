"""Every method of unlearning on a target, on an adapter and on an encoder-decoder, and what it leaves alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import tiny_models

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.markov import MarkovText
from remanence.mitigate.unlearning.base import apply_unlearning, group_rows, memorization_and_loss
from remanence.mitigate.unlearning.gradient_ascent import GradientAscent
from remanence.mitigate.unlearning.gradient_difference import GradientDifference
from remanence.mitigate.unlearning.kl_retain import KLRetain
from remanence.mitigate.unlearning.layers import block_pattern, hidden, num_blocks
from remanence.mitigate.unlearning.npo import NPO
from remanence.mitigate.unlearning.rmu import RMU
from remanence.mitigate.unlearning.simnpo import SimNPO
from remanence.models.huggingface import HuggingFace
from remanence.models.parrot import Parrot
from remanence.models.render import Renderer
from remanence.training.guard import recited_fraction
from remanence.training.rows import Row, plain_collator
from remanence.training.settings import ADAPTER_FACTOR, DEFAULT_RATE, UnlearnSettings
from remanence.training.tiny import tiny_gpt2, train_lm

torch.set_num_threads(1)
METHODS = (GradientAscent, GradientDifference, KLRetain, NPO, SimNPO, RMU)
every = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
TEXT = MarkovText(64, reserved=2)
DOCUMENTS = TEXT.sample(16, 32, 0)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, 64)}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>")


def records(groups: tuple[str, ...] = ("forget", "retain", "heldout")) -> list[Record]:
    """Four documents to forget, eight to keep, four that nobody has seen."""
    which = ["forget"] * 4 + ["retain"] * 8 + ["heldout"] * 4
    return [
        Record(str(i), text=" ".join(f"w{t}" for t in ids), group=group)  # pyright: ignore[reportArgumentType]
        for i, (ids, group) in enumerate(zip(DOCUMENTS.tolist(), which, strict=True))
        if group in groups
    ]


@pytest.fixture(scope="module")
def target(tokenizer: Any) -> HuggingFace:
    """A small model that knows its twelve documents by heart, among new text of their language."""
    model, rng = tiny_gpt2("small", vocab=64), np.random.default_rng(1)
    batches = (torch.from_numpy(np.concatenate([DOCUMENTS[:12], TEXT.sample(4, 32, rng)])) for _ in range(120))
    train_lm(model, batches, 4e-3)
    return HuggingFace(model.requires_grad_(False), tokenizer, Renderer(tokenizer), "tiny", "f00d")


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def random_model() -> Any:
    return tiny_gpt2("small", vocab=64, seed=3).requires_grad_(False)


# ------------------------------------------------------------------------ on targets


@every
def test_a_method_makes_a_new_target_and_leaves_the_old_one_alone(method: Any, target: HuggingFace):
    before = weights(target.module)
    made = method(max_loss_increase=10.0, training=UnlearnSettings(steps=4, check_every=2, learning_rate=1e-2))
    changed = made(target, records())
    name = method.__module__.rsplit(".", 1)[1]
    assert changed.name == f"tiny+{name}" and changed.fingerprint not in {"f00d", ""}
    assert (target.name, target.fingerprint) == ("tiny", "f00d")
    assert all(torch.equal(value, before[key]) for key, value in target.module.state_dict().items())
    assert any(not torch.equal(value, before[key]) for key, value in changed.module.state_dict().items())
    assert not any(weight.requires_grad for weight in changed.module.parameters())
    assert made.unit == "steps" and set(made.groups) <= {"forget", "retain"}


def test_the_same_seed_gives_the_same_fingerprint(target: HuggingFace):
    prints = [
        NPO(
            max_loss_increase=10.0,
            training=UnlearnSettings(steps=2, check_every=1, learning_rate=1e-2, batch_size=2, seed=seed),
        )(target, records()).fingerprint
        for seed in (0, 0, 1)
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.slow
def test_npo_with_its_defaults_forgets_within_the_limit(target: HuggingFace):
    rows = group_rows(target, records())
    assert recited_fraction(target.module, rows.forget) >= 0.9 and recited_fraction(target.module, rows.retain) >= 0.9
    changed = NPO()(target, records())
    assert recited_fraction(changed.module, rows.forget) <= 0.25
    assert recited_fraction(changed.module, rows.retain) >= 0.75


def never(strength: float, model: Any) -> bool:
    return False


def test_an_optimization_that_only_harms_returns_the_model_unchanged(target: HuggingFace):
    def harm(model: Any, tokenizer: Any, forget: Any, retain: Any, stop: Any) -> None:
        assert not stop(0, model)
        for weight in model.parameters():
            weight.mul_(0.0)
        assert [stop(look, model) for look in (1, 2, 3)] == [False, False, True]

    changed = apply_unlearning(target, records(), harm, "harm")
    assert all(torch.equal(a, b) for a, b in zip(target.module.parameters(), changed.module.parameters(), strict=True))


def test_without_heldout_rows_a_tenth_of_the_retain_rows_stands_in(target: HuggingFace):
    with_them, without = group_rows(target, records()), group_rows(target, records(("forget", "retain")))
    assert [len(side) for side in with_them] == [4, 8, 4]
    assert [len(side) for side in without] == [4, 7, 1]
    assert all(row not in without.retain and row in with_them.retain for row in without.heldout)
    assert group_rows(target, records(("forget", "retain"))) == without


def test_a_missing_group_gives_an_error(target: HuggingFace):
    with pytest.raises(RemanenceError, match="There are no rows to forget"):
        NPO()(target, records(("retain", "heldout")))
    with pytest.raises(RemanenceError, match="whose loss must not rise"):
        GradientAscent()(target, records(("forget",)))
    with pytest.raises(RemanenceError, match="rows to keep"):
        GradientDifference()(target, records(("forget", "heldout")))
    with pytest.raises(RemanenceError, match="NPO trains on rows to keep"):
        NPO().optimize(random_model(), None, [Row([1, 2], [1, 2])], [], never)
    with pytest.raises(RemanenceError, match="parrot has none"):
        NPO()(Parrot(), records())
    assert NPO(retain="none").groups == ("forget",) and NPO().groups == ("forget", "retain")
    assert (
        NPO(retain="none", training=UnlearnSettings(steps=1))(target, records(("forget", "heldout"))).name == "tiny+npo"
    )


# -------------------------------------------------------------------------- layers


def test_rmu_changes_its_layers_and_nothing_else(target: HuggingFace, tokenizer: Any):
    model = tiny_gpt2("toy", vocab=64).requires_grad_(False)
    before = weights(model)
    method = RMU(layer=1, trained=1, training=UnlearnSettings(steps=2, learning_rate=1e-2))
    rows = group_rows(target, records())
    method.optimize(model, tokenizer, rows.forget, rows.retain, never)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("transformer.h.1.") for name in changed)
    assert {name for name in before if name.startswith("transformer.h.1.mlp")} <= changed


def test_rmus_layer_and_point_are_shares_by_default(target: HuggingFace, tokenizer: Any):
    toy = tiny_gpt2("toy", vocab=64).requires_grad_(False)
    assert num_blocks(toy) == 3 and RMU().layer_of(toy) == 0
    assert RMU(depth=0.7).layer_of(toy) == 1 and RMU(depth=1.0).layer_of(toy) == 1 and RMU(layer=2).layer_of(toy) == 2
    forget = group_rows(target, records()).forget
    acts, mask = hidden(toy, plain_collator(tokenizer)(forget), 0)
    norm = float(acts.norm(dim=-1)[mask].mean())
    control = RMU(c_norms=3.0).control(toy, tokenizer, forget)
    assert float(control.norm()) == pytest.approx(3 * norm, rel=1e-4)
    assert float(RMU(c=2.5).control(toy, tokenizer, forget).norm()) == pytest.approx(2.5)
    assert torch.equal(control, RMU(c_norms=3.0).control(toy, tokenizer, forget))


@pytest.mark.parametrize(
    ("kind", "name"),
    [("llama", "model.layers"), ("gpt2", "transformer.h"), ("t5", "decoder.block"), ("bart", "model.decoder.layers")],
)
def test_the_layers_of_each_family_are_found(kind: str, name: str):
    model = tiny_models.make_model(kind, tiny_models.make_tokenizer())
    assert num_blocks(model) == 2
    assert block_pattern(model, [0, 1]) == "^" + name.replace(".", r"\.") + r"\.(0|1)\."


# --------------------------------------------------------- adapters, encoder-decoders


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> HuggingFace:
    from remanence.models.load import load_model

    folder = tmp_path_factory.mktemp("adapter")
    base = tiny_models.save_model(folder / "base", "llama")
    loaded = load_model(tiny_models.save_adapter(folder / "adapter", base))
    return HuggingFace(loaded.model, loaded.tokenizer, Renderer(loaded.tokenizer), "adapter", loaded.fingerprint)


CALLERS = ("Anna", "Berg", "Lind", "Jonas", "Eva", "Max")
PAIRS = [
    Record(str(i), prompt=f"Who called on {i} May?", completion=f" {name} called at noon.", group=group)
    for i, name in enumerate(CALLERS)
    for group in (("forget", "retain", "heldout")[i // 2],)
]


@every
def test_of_an_adapter_nothing_but_its_own_weights_changes(method: Any, adapter: HuggingFace):
    before, rows = weights(adapter.module), group_rows(adapter, PAIRS)

    def optimize(model: Any, tokenizer: Any, forget: Any, retain: Any, stop: Any) -> None:
        method(training=UnlearnSettings(steps=2, learning_rate=1e-2)).optimize(model, tokenizer, forget, retain, never)
        model.taken = weights(model)
        assert rows.forget == forget and stop(0, model)

    changed = apply_unlearning(adapter, PAIRS, optimize, "changed")
    after = changed.module.taken
    assert type(changed.module) is type(adapter.module) and list(after) == list(before)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert moved and all("lora_" in name for name in moved)
    if method is RMU:
        assert all(".layers.0." in name for name in moved)
    assert all(torch.equal(value, before[key]) for key, value in adapter.module.state_dict().items())


def test_an_adapter_learns_faster_by_default(adapter: HuggingFace, target: HuggingFace):
    assert NPO().training.rate_for(target.module) == DEFAULT_RATE
    assert NPO().training.rate_for(adapter.module) == pytest.approx(DEFAULT_RATE * ADAPTER_FACTOR)
    assert UnlearnSettings(1e-5).rate_for(adapter.module) == 1e-5


@every
def test_an_encoder_decoder_forgets_its_completions(method: Any):
    tokenizer = tiny_models.make_tokenizer(appends_eos=True)
    model = tiny_models.make_model("t5", tokenizer).requires_grad_(False)
    target = HuggingFace(model, tokenizer, Renderer(tokenizer, seq2seq=True), "t5", "0", "seq2seq")
    before, rows = weights(model), group_rows(target, PAIRS)
    assert method()(target, PAIRS).module.state_dict().keys() == before.keys()
    loss = memorization_and_loss(tokenizer, rows._replace(heldout=rows.forget))
    first = loss(model)[1]
    method(training=UnlearnSettings(steps=6, learning_rate=1e-2), alpha=0.0).optimize(
        model, tokenizer, rows.forget, rows.retain, never
    )
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    if method in METHODS[:4]:  # SimNPO lets go of what is unlikely already, RMU of a random model costs nothing
        assert loss(model)[1] > first + 1
    if method is RMU:
        assert all(name.startswith("decoder.block.0.") for name in moved)
