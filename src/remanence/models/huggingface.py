"""A Hugging Face model as a target: computes the token table in padded forward passes, and generates with a KV cache.

The vocabulary never stands in memory for a whole batch: the output layer is held back during the pass and applied to
a few positions at a time. Models that do more to their logits than the output layer (soft-capping, scaling) are
noticed on their first batch and read through their own forward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import IntsT, Rendered, TokenRow
from remanence.core.target import Answer, Prompt, rendered_rows
from remanence.models.output_layer import is_plain, reduce_hidden
from remanence.models.reduce import Columns, chunk_rows, joined, reduce_logits


@dataclass
class HuggingFace:
    """A causal or seq2seq model with its tokenizer. Satisfies `Generates`, `Scores` and `Opens`."""

    module: nn.Module
    tokenizer: Any
    renderer: Any
    """Callable: record -> `Rendered`, exactly as in training."""
    name: str
    fingerprint: str
    family: str = "causal"
    """causal or seq2seq."""
    dtype: torch.dtype = torch.float32
    """Arithmetic of the pass: float32, or bfloat16 / float16 by autocast over the same weights."""
    batch_tokens: int = 4096
    """Padded tokens per batch."""

    def __post_init__(self) -> None:
        self.module.eval()
        self._held_back: bool | None = None

    @property
    def device(self) -> torch.device:
        """Where the model's weights are; of one that is spread out, where its input goes."""
        if getattr(self.module, "hf_device_map", None) is None:
            return next(self.module.parameters()).device
        embeddings: Any = self.module.get_input_embeddings()  # pyright: ignore[reportCallIssue]
        place = getattr(getattr(embeddings, "_hf_hook", None), "execution_device", None)
        return embeddings.weight.device if place is None else torch.device(place)

    @property
    def vocabulary(self) -> int:
        """Width of the model's output."""
        head: Any = self._head()
        return int(head.weight.shape[0])

    def render(self, record: Record) -> Rendered:
        """The row exactly as in training."""
        return self.renderer(record)

    def decode(self, ids: IntsT) -> str:
        """Text of token ids, without special tokens."""
        return self.tokenizer.decode(ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    # ---------------------------------------------------------------- scoring

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """The token rows of the records, in order. Batches are packed by length within the records given."""
        yield from self.score_rendered(rendered_rows(self, records), columns)

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """As `score`, for rows that are rendered already."""
        done: dict[int, TokenRow] = {}
        usable = [i for i, row in enumerate(rendered) if isinstance(row, Rendered)]
        for batch in pack(usable, [_width(rendered[i]) for i in usable], self.batch_tokens):
            rows = [rendered[i] for i in batch]
            done.update(zip(batch, self._score_batch(rows, columns), strict=True))  # pyright: ignore
        for i, row in enumerate(rendered):
            yield done.pop(i) if isinstance(row, Rendered) else row

    def alone_in_float32(self, row: Rendered, columns: Sequence[str]) -> TokenRow:
        """The token row from a separate pass in float32, for close decisions."""
        dtype, self.dtype = self.dtype, torch.float32
        try:
            return self._score_batch([row], columns)[0]
        finally:
            self.dtype = dtype

    @torch.no_grad()  # and not inference_mode: what a pass of a live model leaves behind must serve the next step
    def _score_batch(self, rows: Sequence[Rendered], columns: Sequence[str]) -> list[TokenRow]:
        inputs = self._inputs(rows)
        places = [np.flatnonzero(row.scored) for row in rows]
        offset = 1 if self.family == "causal" else 0
        line = torch.from_numpy(np.repeat(np.arange(len(rows)), [len(p) for p in places]))
        position = torch.from_numpy(np.concatenate(places) - offset)
        target = torch.from_numpy(
            np.concatenate([r.ids[p] for r, p in zip(rows, places, strict=True)]).astype(np.int64)
        )
        self._check_ids(rows)
        whole = self._reduced(inputs, line.to(self.device), position.to(self.device), target, list(columns))
        return self._split(rows, places, whole)

    def _split(self, rows: Sequence[Rendered], places: list[Any], whole: dict[str, Any]) -> list[TokenRow]:
        table: list[TokenRow] = []
        at = 0
        for row, place in zip(rows, places, strict=True):
            columns: dict[str, Any] = {}
            for name, values in whole.items():
                filled = np.full(row.ids.size, -1 if name == "rank" else np.nan, values.dtype)
                filled[place] = values[at : at + place.size]
                columns[name] = filled
            at += place.size
            table.append(TokenRow(row, columns, self.decode(row.ids[row.supervised])))
        return table

    def _reduced(
        self, inputs: dict[str, Tensor], line: Tensor, position: Tensor, target: Tensor, columns: list[str]
    ) -> Columns:
        """The columns at the wanted positions, from one run of the model."""
        with self._arithmetic():
            if self._held_back is None:
                self._held_back = self._can_hold_back(inputs)
            if not self._held_back:
                logits = self.module(**inputs).logits
                return self._in_chunks(lambda part: logits[line[part], position[part]], target, columns)
            with self._holding_back() as caught:
                self.module(**inputs, use_cache=False)
            hidden = caught.pop()
            hidden = hidden[line.to(hidden.device), position.to(hidden.device)]
            head = self._head()
            if is_plain(head):
                return reduce_hidden(hidden, head, target, columns)
            return self._in_chunks(lambda part: head(hidden[part]), target, columns)

    def _in_chunks(self, logits_of: Callable[[slice], Tensor], target: Tensor, columns: list[str]) -> Columns:
        step = chunk_rows(self.vocabulary)
        parts: list[Columns] = []
        for part in (slice(at, at + step) for at in range(0, len(target), step)):
            logits = logits_of(part)
            parts.append(reduce_logits(logits, target[part].to(logits.device), columns))
        return joined(parts, columns)

    def _can_hold_back(self, inputs: dict[str, Tensor]) -> bool:
        """Whether the output layer alone makes the logits: compared on the first row of the first batch."""
        short = {k: v[:1, :8] if k != "encoder_outputs" else v for k, v in inputs.items()}
        whole = self.module(**short).logits
        try:
            with self._holding_back() as caught:
                self.module(**short)
            again = self._head()(caught[0]).to(whole.device)
        except (RuntimeError, TypeError, IndexError, AttributeError):
            return False
        return again.shape == whole.shape and torch.allclose(
            again.float(), whole.float(), rtol=1e-4, atol=1e-4, equal_nan=True
        )

    def _head(self) -> nn.Module:
        head = self.module.get_output_embeddings()  # pyright: ignore[reportCallIssue]
        if head is None:
            raise RemanenceError(f"{self.name} has no language-model head, so it gives no token probabilities.")
        return head

    @contextlib.contextmanager
    def _holding_back(self) -> Generator[list[Tensor]]:
        """While open, the output layer keeps its input in the list and returns a single zero, which may broadcast."""
        head, caught = self._head(), list[Tensor]()

        def keep(hidden: Tensor) -> Tensor:
            caught.append(hidden)
            return hidden.new_zeros([1] * hidden.dim())

        before = head.forward
        head.forward = keep
        try:
            yield caught
        finally:
            if "forward" in head.__dict__ and getattr(before, "__self__", None) is head:
                del head.forward
            else:
                head.forward = before

    def _inputs(self, rows: Sequence[Rendered]) -> dict[str, Tensor]:
        """Right-padded inputs; a decoder's inputs are its targets moved one to the right."""
        if self.family == "causal":
            ids, mask = pad([row.ids for row in rows], self._pad(), side="right")
            return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        source, mask = pad([row.source for row in rows if row.source is not None], self._pad(), side="right")
        start = np.array([self._decoder_start()], np.int32)
        decoder, _ = pad([np.concatenate([start, row.ids[:-1]]) for row in rows], self._pad(), side="right")
        inputs = {"input_ids": source, "attention_mask": mask, "decoder_input_ids": decoder}
        return {k: v.to(self.device) for k, v in inputs.items()}

    def _check_ids(self, rows: Sequence[Rendered]) -> None:
        width = int(self.module.get_input_embeddings().weight.shape[0])  # pyright: ignore
        highest = max(int(row.ids.max()) for row in rows)
        if highest >= width:
            raise RemanenceError(
                f"The tokenizer gives token id {highest}, but {self.name} only knows {width} ids: "
                "it is another model's tokenizer; pass the model with its own."
            )

    def _pad(self) -> int:
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id):
            if candidate is not None:
                return int(candidate)
        return 0

    def _decoder_start(self) -> int:
        config: Any = self.module.config
        start = getattr(config, "decoder_start_token_id", None)
        if start is None:
            start = getattr(getattr(self.module, "generation_config", None), "decoder_start_token_id", None)
        if start is None:
            raise RemanenceError(f"{self.name} does not say its decoder_start_token_id; set it in its config.json.")
        return int(start)

    def _arithmetic(self) -> Any:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    # -------------------------------------------------------------- generation

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        """One answer per prompt, in order; batches are left-padded and packed by length.

        Draws are independent of each other, and repeat with the same prompts, seed and `batch_tokens`.
        """
        answers: dict[int, Answer] = {}
        widths = [p.ids.size + new_tokens + (0 if p.source is None else p.source.size) for p in prompts]
        alike: dict[int, list[int]] = {}
        for i, prompt in enumerate(prompts):  # padding before a decoder's prompt would move absolute positions (BART)
            alike.setdefault(prompt.ids.size if self.family == "seq2seq" else 0, []).append(i)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for items in alike.values():
                for batch in pack(items, [widths[i] for i in items], self.batch_tokens):
                    generated = self._generate([prompts[i] for i in batch], new_tokens, scheme)
                    batch_ids = zip(batch, generated, strict=True)
                    answers |= {i: Answer(ids, self.decode(ids), scheme, seed) for i, ids in batch_ids}
        return [answers[i] for i in range(len(prompts))]

    def answer_alone_in_float32(self, prompt: Prompt, new_tokens: int, seed: int = 0) -> Answer:
        """The greedy answer in float32 at batch size 1."""
        dtype, self.dtype = self.dtype, torch.float32
        try:
            return self.generate([prompt], new_tokens, None, seed)[0]
        finally:
            self.dtype = dtype

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None) -> list[IntsT]:
        from transformers import GenerationConfig

        eos = self._ends()
        drawing: dict[str, Any] = {}
        if scheme is not None:
            drawing = {"temperature": scheme.temperature, "top_k": scheme.top_k or 0, "top_p": scheme.top_p or 1.0}
        settings = GenerationConfig(
            max_new_tokens=new_tokens,
            do_sample=scheme is not None,
            pad_token_id=self._pad(),
            eos_token_id=sorted(eos) or None,
            decoder_start_token_id=self._decoder_start() if self.family == "seq2seq" else None,
            **drawing,
        )
        if self.family == "causal":
            ids, mask = pad([p.ids for p in prompts], self._pad(), side="left")
            inputs = {"input_ids": ids, "attention_mask": mask}
            given = ids.shape[1]
        else:
            source, mask = pad([p.source for p in prompts if p.source is not None], self._pad(), side="right")
            start = np.array([self._decoder_start()], np.int32)
            decoder, _ = pad([np.concatenate([start, p.ids]) for p in prompts], self._pad(), side="left")
            inputs = {"input_ids": source, "attention_mask": mask, "decoder_input_ids": decoder}
            given = decoder.shape[1]
        inputs = {k: v.to(self.device) for k, v in inputs.items()}
        with self._arithmetic(), self._without_defaults(settings):
            out = self.module.generate(**inputs, generation_config=settings)  # pyright: ignore[reportCallIssue]
        return [_until_end(line[given:].cpu().numpy().astype(np.int32), eos) for line in out]

    @contextlib.contextmanager
    def _without_defaults(self, settings: Any) -> Generator[None]:
        """While open, the model's own generation defaults (penalties, beams, forced tokens) do not mix in."""
        module: Any = self.module
        before, module.generation_config = module.generation_config, settings
        try:
            yield
        finally:
            module.generation_config = before

    def _ends(self) -> set[int]:
        listed = getattr(getattr(self.module, "generation_config", None), "eos_token_id", None)
        ends = {listed} if isinstance(listed, int) else set(listed or ())
        return ends | ({self.tokenizer.eos_token_id} - {None})


def _until_end(ids: IntsT, ends: set[int]) -> IntsT:
    """The answer up to and including its first end-of-text token."""
    stops = np.flatnonzero(np.isin(ids, list(ends)))
    return ids[: stops[0] + 1] if stops.size else ids


def _width(row: Rendered | str) -> int:
    assert isinstance(row, Rendered)
    return row.ids.size + (0 if row.source is None else row.source.size)


def pack(items: Sequence[int], widths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Items in batches of similar width, longest first, each at most `batch_tokens` wide after padding.

    A batch that is a quarter full takes no row that would be more than a fifth padding.
    """
    order = sorted(range(len(items)), key=lambda k: (-widths[k], k))
    batches: list[list[int]] = []
    widest = 0
    for k in order:
        full = not batches or (len(batches[-1]) + 1) * widest > batch_tokens
        if full or (widths[k] < 0.8 * widest and 4 * len(batches[-1]) * widest >= batch_tokens):
            batches.append([])
            widest = widths[k]
        batches[-1].append(items[k])
    return batches


def pad(rows: Sequence[IntsT], value: int, *, side: str) -> tuple[Tensor, Tensor]:
    """[B, T] ids and attention mask (int64), padded on the side given."""
    widest = max(row.size for row in rows)
    ids = np.full((len(rows), widest), value, np.int64)
    mask = np.zeros((len(rows), widest), np.int64)
    for i, row in enumerate(rows):
        here = slice(0, row.size) if side == "right" else slice(widest - row.size, widest)
        ids[i, here] = row
        mask[i, here] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
