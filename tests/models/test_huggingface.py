"""The Hugging Face target against a slow twin: one row at a time, one position at a time, the definitions written out.

Tolerance everywhere: 2e-5 nats. It covers float32 sums of other shapes (padding, batches, the head applied apart).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Generates, Opens, Prompt, Scores, cut
from remanence.measure.extraction.discoverable import Discoverable, greedy_hits
from remanence.measure.extraction.splits import splits
from remanence.models import huggingface
from remanence.models.huggingface import HuggingFace, pack, pad
from remanence.models.load import load_model
from remanence.models.render import Renderer

KINDS = ("llama", "gpt2", "t5", "bart")
SCHEMES = (SamplingScheme(0.7), SamplingScheme(1.0, 40), SamplingScheme(1.3, 20, 0.6), SamplingScheme(top_p=0.9))
PLAIN = ["logprob", "rank", "gap", "mean", "std"]
COLUMNS = [*PLAIN, *(s.column for s in SCHEMES)]
TOLERANCE = {"rtol": 2e-5, "atol": 2e-5}

SENTENCE = "Anna Berg called at noon about invoice 4471; the cat sat on the mat and paid 30 euros to Dr. Lind"
WORDS = SENTENCE.split()


def texts(count: int, seed: int = 0) -> list[str]:
    """Random sentences of one to sixteen words."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 17))) for _ in range(count)]


def records(kind: str, count: int = 12, seed: int = 0) -> list[Record]:
    """Texts for a decoder-only model; pairs, each with a source of its own length, for an encoder-decoder."""
    said, asked = texts(count, seed), texts(count, seed + 1)
    if kind in {"t5", "bart"}:
        return [Record(str(i), prompt=q, completion=a) for i, (q, a) in enumerate(zip(asked, said, strict=True))]
    mixed = [Record(str(i), text=a) for i, a in enumerate(said)]
    mixed[::3] = [Record(r.id, prompt=q, completion=" " + str(r.text)) for r, q in zip(mixed[::3], asked, strict=False)]
    return mixed


def opened(folder: Path, **options: Any) -> HuggingFace:
    loaded = load_model(folder)
    seq2seq = loaded.family == "seq2seq"
    renderer = Renderer(loaded.tokenizer, max_length=128, seq2seq=seq2seq)
    return HuggingFace(
        loaded.model, loaded.tokenizer, renderer, loaded.name, loaded.fingerprint, loaded.family, **options
    )


@pytest.fixture
def target(request: pytest.FixtureRequest) -> HuggingFace:
    kind = request.param
    sharpen(made := opened(request.getfixturevalue(f"tiny_{kind}")))
    return made


def sharpen(target: HuggingFace) -> None:
    """Random models are nearly flat; with a stronger head their distributions look like those of trained ones."""
    module: Any = target.module
    head = module.get_output_embeddings()
    if head.weight is module.get_input_embeddings().weight:
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    with torch.no_grad():
        short = {"input_ids": torch.arange(6, 14)[None]}
        if target.family == "seq2seq":
            short["decoder_input_ids"] = torch.arange(6, 14)[None]
        head.weight *= 3.0 / module(**short).logits.std()


each = pytest.mark.parametrize("target", KINDS, indirect=True)


# ------------------------------------------------------------------- slow twin


def slow_logits(target: HuggingFace, row: Rendered) -> Tensor:
    """[T, V] float64: row t is what the model says about token t of the row. One plain call, no padding, no mask."""
    ids, module = torch.from_numpy(row.ids.astype(np.int64))[None], target.module
    if row.source is None:
        logits = module(input_ids=ids).logits[0].double()
        return torch.cat([torch.full_like(logits[:1], math.nan), logits[:-1]])
    start = torch.tensor([[module.config.decoder_start_token_id]])  # pyright: ignore
    source = torch.from_numpy(row.source.astype(np.int64))[None]
    return module(input_ids=source, decoder_input_ids=torch.cat([start, ids[:, :-1]], 1)).logits[0].double()


def slow_position(logits_V: Tensor, token: int, columns: Sequence[str]) -> list[float]:
    """The numbers of one position, from their definitions."""
    x = logits_V.tolist()
    order = sorted(range(len(x)), key=lambda v: (-x[v], v))
    total = math.log(sum(math.exp(v - max(x)) for v in x)) + max(x)
    logp = [v - total for v in x]
    mean = sum(math.exp(v) * v for v in logp)
    rivals = max(v for i, v in enumerate(x) if i != token)
    plain = {
        "logprob": logp[token],
        "rank": order.index(token),
        "gap": x[token] - rivals,
        "mean": mean,
        "std": math.sqrt(sum(math.exp(v) * (v - mean) ** 2 for v in logp)),
    }
    return [plain[c] if c in plain else slow_scheme(x, order, token, c) for c in columns]


def slow_scheme(x: list[float], order: list[int], token: int, column: str) -> float:
    scheme = SamplingScheme.of_column(column)
    assert scheme is not None
    weights = {v: math.exp((x[v] - x[order[0]]) / scheme.temperature) for v in order}
    if scheme.top_k is not None:
        weights = {v: w for v, w in weights.items() if x[v] >= x[order[min(scheme.top_k, len(x)) - 1]]}
    if scheme.top_p is not None:
        whole, above, kept = sum(weights.values()), 0.0, dict[int, float]()
        for v, w in weights.items():
            if above < scheme.top_p * whole:
                kept[v] = w
            above += w
        weights = kept
    return math.log(weights[token] / sum(weights.values())) if token in weights else -math.inf


def slow_row(target: HuggingFace, row: Rendered, columns: Sequence[str]) -> dict[str, list[float]]:
    logits = slow_logits(target, row)
    hidden = [-1 if c == "rank" else math.nan for c in columns]
    lines = [
        slow_position(logits[t], int(row.ids[t]), columns) if row.supervised[t] and t >= row.first else hidden
        for t in range(row.ids.size)
    ]
    return {c: [line[i] for line in lines] for i, c in enumerate(columns)}


def same_row(found: TokenRow, expected: dict[str, Any] | TokenRow, **tolerance: float) -> None:
    columns = expected.columns if isinstance(expected, TokenRow) else expected
    for name, values in columns.items():
        np.testing.assert_allclose(found.columns[name], values, **(tolerance or TOLERANCE), err_msg=name)


def rows_of(found: Iterator[TokenRow | str]) -> list[TokenRow]:
    rows = list(found)
    assert all(isinstance(row, TokenRow) for row in rows)
    return rows  # pyright: ignore


@each
def test_every_column_equals_the_slow_twin(target: HuggingFace):
    asked = records(target.name, 5)
    for record, row in zip(asked, rows_of(target.score(asked, COLUMNS)), strict=True):
        rendered = target.render(record)
        np.testing.assert_array_equal(row.rendered.ids, rendered.ids)
        same_row(row, slow_row(target, rendered, COLUMNS))


@each
@pytest.mark.parametrize("batch_tokens", [1, 97, 10**6])
def test_batches_change_nothing(target: HuggingFace, batch_tokens: int):
    asked = records(target.name, 14)
    alone = [rows_of(target.score([r], COLUMNS))[0] for r in asked]
    target.batch_tokens = batch_tokens
    for found, expected in zip(rows_of(target.score(asked, COLUMNS)), alone, strict=True):
        same_row(found, expected)


@each
def test_order_changes_nothing(target: HuggingFace):
    asked = records(target.name, 14)
    target.batch_tokens = 120
    mixed = list(np.random.default_rng(3).permutation(len(asked)))
    forward = rows_of(target.score(asked, COLUMNS))
    for place, found in zip(mixed, rows_of(target.score([asked[i] for i in mixed], COLUMNS)), strict=True):
        same_row(found, forward[place])


@each
def test_padding_changes_nothing(target: HuggingFace):
    short, long = records(target.name, 2), records(target.name, 40, seed=5)
    short = [Record("s", **({"text": "the cat"} if target.family == "causal" else {"prompt": "a", "completion": "b"}))]
    longest = max(long, key=lambda r: len(r.plain))
    padded = rows_of(target.score([longest, *short], COLUMNS))[1]
    assert padded.rendered.ids.size < target.render(longest).ids.size
    same_row(padded, rows_of(target.score(short, COLUMNS))[0])
    target.tokenizer.pad_token = "cat"  # another id in the padding
    same_row(rows_of(target.score([longest, *short], COLUMNS))[1], padded)


@each
def test_columns_asked_alone_are_the_columns_asked_together(target: HuggingFace):
    asked = records(target.name, 4)
    together = rows_of(target.score(asked, COLUMNS))
    for column in ("gap", "rank", SCHEMES[2].column):
        for row, whole in zip(rows_of(target.score(asked, [column])), together, strict=True):
            np.testing.assert_array_equal(row.columns[column], whole.columns[column])


@each
def test_the_head_at_once_and_in_chunks_say_the_same(target: HuggingFace, monkeypatch: pytest.MonkeyPatch):
    asked = records(target.name, 6)
    whole = rows_of(target.score(asked, COLUMNS))
    monkeypatch.setattr(huggingface, "chunk_rows", lambda vocabulary: 3)
    for found, expected in zip(rows_of(target.score(asked, COLUMNS)), whole, strict=True):
        same_row(found, expected)


@each
def test_the_loss_of_a_row_is_the_models_own_training_loss(target: HuggingFace):
    for record in records(target.name, 4):
        row = target.render(record)
        labels = torch.from_numpy(np.where(row.supervised, row.ids, -100).astype(np.int64))[None]
        given = row.ids if row.source is None else row.source
        loss = target.module(input_ids=torch.from_numpy(given.astype(np.int64))[None], labels=labels).loss
        scored = rows_of(target.score([record], ["logprob"]))[0].scored("logprob")
        assert -scored.mean() == pytest.approx(float(loss), abs=2e-5)


# ---------------------------------------------------------------------- memory


class Largest(TorchDispatchMode):
    """Remembers the most numbers that any tensor held while it was open."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, tuple | list) else [out]:
            if isinstance(one, Tensor):
                self.numel = max(self.numel, one.numel())
        return out


@each
def test_logits_of_a_whole_batch_never_stand_in_memory(target: HuggingFace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface, "chunk_rows", lambda vocabulary: 4)
    asked = records(target.name, 16)
    seen: list[int] = []
    rows_of(target.score(asked[:1], PLAIN))  # the first batch compares with the whole
    hook = target._head().register_forward_hook(lambda module, given, out: seen.append(out.numel()))  # pyright: ignore
    with Largest() as largest:
        found = rows_of(target.score(asked, COLUMNS))
    hook.remove()
    longest = max(row.rendered.ids.size for row in found)
    assert max(seen) <= 4 * target.vocabulary
    weights = max(p.numel() for p in target.module.parameters())
    assert largest.numel < max(len(asked) * longest * target.vocabulary // 2, weights + 1)


@each
def test_the_head_is_itself_again_after_a_pass(target: HuggingFace):
    head: Any = target._head()  # pyright: ignore[reportPrivateUsage]
    rows_of(target.score(records(target.name, 2), PLAIN))
    assert "forward" not in head.__dict__
    target.module.config.use_cache = False
    with pytest.raises(RuntimeError), target._holding_back():  # pyright: ignore[reportPrivateUsage]
        raise RuntimeError("a pass that breaks off")
    assert "forward" not in head.__dict__


# ------------------------------------------------- models that touch their logits


def capped() -> HuggingFace:
    """A Gemma 2, which presses its logits into (-3, 3) after the output layer."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    tokenizer = tiny_models.make_tokenizer()
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
        final_logit_softcapping=3.0,
        attn_implementation="eager",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    target = HuggingFace(Gemma2ForCausalLM(config), tokenizer, Renderer(tokenizer), "gemma2", "x")
    sharpen(target)
    return target


def test_soft_capped_logits_are_noticed_and_read_as_the_model_gives_them():
    target = capped()
    asked = records("llama", 5)
    for record, row in zip(asked, rows_of(target.score(asked, COLUMNS)), strict=True):
        same_row(row, slow_row(target, target.render(record), COLUMNS))
    assert target._held_back is False  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("target", ["bart"], indirect=True)
def test_a_bias_after_the_output_layer_is_noticed(target: HuggingFace):
    module: Any = target.module
    module.final_logits_bias = torch.randn(1, target.vocabulary, generator=torch.Generator().manual_seed(0))
    asked = records("bart", 5)
    for record, row in zip(asked, rows_of(target.score(asked, COLUMNS)), strict=True):
        same_row(row, slow_row(target, target.render(record), COLUMNS))
    assert target._held_back is False  # pyright: ignore[reportPrivateUsage]


@each
def test_both_ways_to_the_logits_agree(target: HuggingFace):
    asked = records(target.name, 8)
    held = rows_of(target.score(asked, COLUMNS))
    assert target._held_back is True  # pyright: ignore[reportPrivateUsage]
    target._held_back = False  # pyright: ignore[reportPrivateUsage]
    for found, expected in zip(rows_of(target.score(asked, COLUMNS)), held, strict=True):
        same_row(found, expected)


# ------------------------------------------------------------------- generation


def prompts_of(target: HuggingFace, asked: Sequence[Record], prefixes: Sequence[int], new_tokens: int) -> list[Prompt]:
    found = (cut(target.render(r), r.id, n, new_tokens) for r in asked for n in prefixes)
    return [prompt for prompt in found if prompt is not None]


@each
def test_answers_in_a_batch_are_the_answers_alone(target: HuggingFace):
    prompts = prompts_of(target, records(target.name, 9), (0, 1, 5, 9), 6)
    assert len(prompts) > 12 and len({p.ids.size for p in prompts}) > 2
    alone = [target.generate([prompt], 6)[0] for prompt in prompts]
    for batch_tokens in (60, 10**6):
        target.batch_tokens = batch_tokens
        for together, single in zip(target.generate(prompts, 6), alone, strict=True):
            assert together.ids.tolist() == single.ids.tolist() and together.text == single.text


@pytest.mark.parametrize(
    "target",
    ["llama", "bart", pytest.param("gpt2", marks=pytest.mark.slow), pytest.param("t5", marks=pytest.mark.slow)],
    indirect=True,
)
def test_the_table_says_what_generation_would_say(target: HuggingFace):
    """200 prompts, half of them rows that are the model's own greedy words, so that there are hits to find."""
    new_tokens = 5
    asked = records(target.name, 40, seed=9)
    rendered = [target.render(r) for r in asked]
    own: list[Rendered] = []
    for row in rendered:
        prompt = Prompt("r", row.ids[: row.start + 1], row.ids[:0], row.source)
        said = target.generate([prompt], 12)[0].ids
        ids = np.concatenate([prompt.ids, said])
        own.append(Rendered(ids, np.arange(ids.size) >= row.start, row.source))
    rows = [r for r in target.score_rendered([*rendered, *own], ["rank", "gap"]) if isinstance(r, TokenRow)]
    prompts: list[Prompt] = []
    verdicts: list[bool] = []
    for row in rows:
        if row.rendered.scored.sum() < new_tokens:
            continue
        split = splits(row, new_tokens)
        hits = greedy_hits(row.hits(), new_tokens)
        for prefix, at in list(zip(split.prefix_S, split.at_S, strict=True))[:6]:
            prompt = cut(row.rendered, "r", int(prefix), new_tokens)
            assert prompt is not None
            prompts.append(prompt)
            verdicts.append(bool(hits[at]))
    keep = np.random.default_rng(0).permutation(len(prompts))[:200]
    prompts, verdicts = [prompts[i] for i in keep], [verdicts[i] for i in keep]
    answers = target.generate(prompts, new_tokens)
    said = [np.array_equal(a.ids, p.expected) for a, p in zip(answers, prompts, strict=True)]
    assert said == verdicts
    assert len(said) == 200 and 20 <= sum(said) <= 180


@each
def test_the_prompt_is_never_counted_as_generated(target: HuggingFace):
    prompts = prompts_of(target, records(target.name, 12), (4,), 3)
    for prompt, answer in zip(prompts, target.generate(prompts, 3), strict=True):
        assert 1 <= answer.ids.size <= 3
        inputs = torch.from_numpy(prompt.ids.astype(np.int64))[None]
        if prompt.source is None:
            first = target.module(input_ids=inputs).logits[0, -1].argmax()
        else:
            start = torch.tensor([[target.module.config.decoder_start_token_id]])  # pyright: ignore
            source = torch.from_numpy(prompt.source.astype(np.int64))[None]
            logits = target.module(input_ids=source, decoder_input_ids=torch.cat([start, inputs], 1)).logits
            first = logits[0, -1].argmax()
        assert answer.ids[0] == int(first)


@each
def test_an_answer_ends_with_the_end_of_text_token(target: HuggingFace):
    prompts = prompts_of(target, records(target.name, 10), (2,), 4)
    plain = target.generate(prompts, 8)
    ends = int(plain[0].ids[2])  # from now on, this token ends a text
    target.module.generation_config.eos_token_id = [ends]  # pyright: ignore
    for before, after in zip(plain, target.generate(prompts, 8), strict=True):
        said = before.ids.tolist()
        assert after.ids.tolist() == (said[: said.index(ends) + 1] if ends in said else said)


@pytest.mark.parametrize("target", ["llama"], indirect=True)
def test_generation_stops_at_an_end_of_text_token_inside_a_row_and_the_table_reads_on(target: HuggingFace):
    # As in chats whose turns each end with it: teacher forcing looks beyond the token, a real answer ends with it.
    prompt = Prompt("r", np.array([5, 9, 20], np.int32), np.zeros(0, np.int32))
    ids = np.concatenate([prompt.ids, target.generate([prompt], 10)[0].ids])
    target.module.generation_config.eos_token_id = int(ids[6])  # pyright: ignore
    row = rows_of(target.score_rendered([Rendered(ids, np.ones(ids.size, bool))], ["rank", "gap"]))[0]
    assert Discoverable((2,), 8).score(row).value == 1
    said = target.generate([prompt], 8)[0].ids.tolist()
    assert said == ids[3 : ids.tolist().index(ids[6], 3) + 1].tolist() and len(said) < 8


@each
def test_the_models_own_generation_defaults_do_not_mix_in(target: HuggingFace):
    prompts = prompts_of(target, records(target.name, 8), (2,), 4)
    plain = [a.ids.tolist() for a in target.generate(prompts, 8)]
    config: Any = target.module.generation_config
    changes = {
        "repetition_penalty": 5.0,
        "no_repeat_ngram_size": 1,
        "num_beams": 3,
        "forced_eos_token_id": target.tokenizer.eos_token_id,
        "do_sample": True,
        "top_k": 1,
        "min_new_tokens": 8,
    }
    for name, value in changes.items():
        setattr(config, name, value)
    assert [a.ids.tolist() for a in target.generate(prompts, 8)] == plain
    assert target.module.generation_config is config and config.num_beams == 3


@each
def test_draws_repeat_with_the_seed_and_leave_the_global_seed_alone(target: HuggingFace):
    prompts = prompts_of(target, records(target.name, 8), (2,), 4)
    before = torch.get_rng_state()
    one, same, other = (
        [a.ids.tolist() for a in target.generate(prompts, 4, SamplingScheme(), seed)] for seed in (1, 1, 2)
    )
    assert one == same and one != other
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("target", ["llama", "t5"], indirect=True)
def test_the_same_prompt_in_several_batches_draws_anew(target: HuggingFace):
    prompt = prompts_of(target, records(target.name, 8), (2,), 4)[0]
    target.batch_tokens = 1
    drawn = [tuple(a.ids.tolist()) for a in target.generate([prompt] * 12, 4, SamplingScheme(2.0), seed=3)]
    assert len(set(drawn)) > 6


# ------------------------------------------------------------ half precision


@pytest.mark.parametrize("target", ["llama", "bart"], indirect=True)
def test_alone_in_float32_is_the_last_word_after_bfloat16(target: HuggingFace):
    asked = records(target.name, 6)
    exact = rows_of(target.score(asked, COLUMNS))
    target.dtype = torch.bfloat16
    rough = rows_of(target.score(asked, COLUMNS))
    assert (
        max(np.nanmax(np.abs(a.columns["logprob"] - b.columns["logprob"])) for a, b in zip(rough, exact, strict=True))
        > 1e-4
    )
    for record, expected in zip(asked, exact, strict=True):
        same_row(target.alone_in_float32(target.render(record), COLUMNS), expected)
    assert target.dtype == torch.bfloat16


@pytest.mark.parametrize("target", ["llama", "bart"], indirect=True)
def test_the_float32_answer_does_not_depend_on_the_arithmetic_of_the_run(target: HuggingFace):
    prompt = prompts_of(target, records(target.name, 8), (2,), 4)[0]
    exact = target.generate([prompt], 6)[0]
    target.dtype = torch.bfloat16
    assert target.answer_alone_in_float32(prompt, 6).ids.tolist() == exact.ids.tolist()
    assert target.dtype == torch.bfloat16


# -------------------------------------------------------------------- odd cases


@pytest.mark.parametrize("target", ["llama", "t5"], indirect=True)
def test_it_can_do_what_its_type_says(target: HuggingFace):
    assert isinstance(target, Generates) and isinstance(target, Scores) and isinstance(target, Opens)


@each
def test_rows_that_cannot_be_measured_keep_their_place(target: HuggingFace):
    good = records(target.name, 2)
    empty = Record("e", **({"text": ""} if target.family == "causal" else {"prompt": "a", "completion": ""}))
    found = list(target.score([good[0], empty, good[1], empty], ["logprob"]))
    assert [isinstance(row, TokenRow) for row in found] == [True, False, True, False]
    assert "empty" in str(found[1])
    assert list(target.score([empty], ["logprob"])) == [found[1]] and list(target.score([], ["logprob"])) == []


@each
def test_nan_logits_become_a_reason(target: HuggingFace):
    asked = records(target.name, 3)
    head: Any = target._head()  # pyright: ignore[reportPrivateUsage]
    head.weight[7] = math.nan
    findings = Discoverable((0,), 2)(target, asked)
    assert all(f.score is None and f.reason is not None and "NaN" in f.reason for f in findings)


@pytest.mark.parametrize("target", ["llama"], indirect=True)
def test_nan_in_one_row_of_a_batch_stays_there(target: HuggingFace):
    module: Any = target.module
    asked = [Record("a", text="the cat sat"), Record("b", text="Anna Berg called"), Record("c", text="the dog sat")]
    clean = rows_of(target.score(asked, COLUMNS))
    poison = set(clean[1].rendered.ids) - set(clean[0].rendered.ids) - set(clean[2].rendered.ids)
    module.get_input_embeddings().weight[int(min(poison))] = math.nan
    broken = rows_of(target.score(asked, COLUMNS))
    assert np.isnan(broken[1].columns["logprob"][1:]).any()
    same_row(broken[0], clean[0])
    same_row(broken[2], clean[2])


@pytest.mark.parametrize("target", ["llama"], indirect=True)
def test_anothers_tokenizer_is_named(target: HuggingFace):
    row = Rendered(np.array([1, 2, 9999], np.int32), np.ones(3, bool))
    with pytest.raises(RemanenceError, match="token id 9999, but llama only knows"):
        list(target.score_rendered([row], ["logprob"]))


def test_pack_fills_batches_longest_first_and_never_beyond_the_limit():
    # Widths 4, 5, 4, 5 with ten tokens: the two fives (2 * 5 = 10), then the fours (2 * 4 = 8).
    assert pack([0, 1, 2, 3], [4, 5, 4, 5], 10) == [[1, 3], [0, 2]]
    assert pack([0, 1], [7, 9], 1) == [[1], [0]]
    assert pack([], [], 10) == []


def test_pack_starts_a_batch_rather_than_pad_more_than_a_fifth_once_a_quarter_is_full():
    # 40 tokens: one row of 10 is a quarter; 8 is a fifth shorter and still joins, 7 does not, and 6 joins the 7.
    assert pack([0, 1, 2, 3], [10, 8, 7, 6], 40) == [[0, 1], [2, 3]]
    assert pack([0, 1, 2, 3], [10, 8, 7, 6], 44) == [[0, 1], [2, 3]]  # two rows of 10 are more than 11
    assert pack([0, 1, 2, 3], [10, 8, 7, 6], 100) == [[0, 1, 2], [3]]  # two rows of 10 are less than 25


def test_pad_marks_what_is_real():
    ids, mask = pad([np.array([4, 5], np.int32), np.array([6], np.int32)], 0, side="left")
    assert ids.tolist() == [[4, 5], [0, 6]] and mask.tolist() == [[1, 1], [0, 1]]
    ids, mask = pad([np.array([4, 5], np.int32), np.array([6], np.int32)], 0, side="right")
    assert ids.tolist() == [[4, 5], [6, 0]] and mask.tolist() == [[1, 1], [1, 0]]
