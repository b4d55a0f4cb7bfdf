"""A model in vLLM, in this process: generation and prompt log-probabilities on a GPU.

Written against vLLM's documented interface (`LLM.generate` with `TokensPrompt` and `SamplingParams(prompt_logprobs)`,
0.15) and tested with a stand-in for it; it was not run on vLLM here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import IntsT, Rendered, TokenRow
from remanence.core.target import Answer, Prompt, rendered_rows

TOP = 2
"""Likeliest tokens asked for beside the row's own: the gap needs the best other one; vLLM tells the rank itself."""


@dataclass
class VLLM:
    """A causal model under vLLM with its tokenizer. Satisfies `Generates`, `Scores` and `ScoresRendered`.

    The columns `logprob`, `gap`, `rank` and `logprob[T=1]` are filled; others need the whole vocabulary.
    """

    engine: Any
    """`vllm.LLM`."""
    tokenizer: Any
    renderer: Any
    """Callable: record -> `Rendered`, exactly as in training."""
    name: str
    fingerprint: str
    family: str = "causal"

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return len(self.tokenizer)

    def render(self, record: Record) -> Rendered:
        """The row exactly as in training."""
        return self.renderer(record)

    def decode(self, ids: IntsT) -> str:
        """Text of token ids, without special tokens."""
        return self.tokenizer.decode(ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def generate(
        self, prompts: Sequence[Prompt], new_tokens: int, scheme: SamplingScheme | None = None, seed: int = 0
    ) -> list[Answer]:
        """One answer per prompt, in order; draws differ by their place."""
        if scheme is None:
            drawing = [{"temperature": 0.0, "seed": seed}] * len(prompts)
        else:
            kept = {"temperature": scheme.temperature, "top_k": scheme.top_k or -1, "top_p": scheme.top_p or 1.0}
            drawing = [{**kept, "seed": seed + i} for i in range(len(prompts))]
        outputs = self._run([p.ids for p in prompts], [{"max_tokens": new_tokens, **draw} for draw in drawing])
        token_ids = [np.array(one.outputs[0].token_ids, np.int32) for one in outputs]
        return [Answer(ids, self.decode(ids), scheme, seed) for ids in token_ids]

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """The token rows of the records, in order."""
        yield from self.score_rendered(rendered_rows(self, records), columns)

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """As `score`, for rows that are rendered already."""
        rows = [row for row in rendered if isinstance(row, Rendered)]
        asked = [{"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": TOP}] * len(rows)
        outputs = iter(self._run([row.ids for row in rows], asked))
        for row in rendered:
            yield row if isinstance(row, str) else self._row(row, next(outputs).prompt_logprobs, columns)

    def _row(self, row: Rendered, prompt_logprobs: Sequence[Any], columns: Sequence[str]) -> TokenRow:
        found: dict[str, Any] = {name: np.full(row.ids.size, np.nan, np.float32) for name in ("logprob", "gap")}
        found["rank"] = np.full(row.ids.size, -1, np.int32)
        for t in np.flatnonzero(row.scored).tolist():
            own = prompt_logprobs[t][int(row.ids[t])]
            others = [one.logprob for token, one in prompt_logprobs[t].items() if token != int(row.ids[t])]
            found["logprob"][t], found["gap"][t] = own.logprob, own.logprob - max(others)
            found["rank"][t] = own.rank - 1  # vLLM counts from 1
        found[SamplingScheme().column] = found["logprob"]
        kept: dict[str, Any] = {name: values for name, values in found.items() if name in columns}
        return TokenRow(row, kept, self.decode(row.ids[row.supervised]))

    def _run(self, prompts: Sequence[IntsT], settings: Sequence[dict[str, Any]]) -> list[Any]:
        vllm = _vllm()
        if not prompts:
            return []
        tokens = [vllm.TokensPrompt(prompt_token_ids=ids.tolist()) for ids in prompts]
        asked = [vllm.SamplingParams(**one) for one in settings]
        return self.engine.generate(tokens, asked, use_tqdm=False)


def open_vllm(name: str, renderer: Any, title: str, fingerprint: str, **engine: Any) -> VLLM:
    """A model folder or Hub name under vLLM; `engine` is handed to `vllm.LLM`."""
    made = _vllm().LLM(model=name, **engine)
    return VLLM(made, renderer.tokenizer, renderer, title, fingerprint)


def _vllm() -> Any:
    try:
        import vllm  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise RemanenceError("vllm: targets need vLLM and a GPU: pip install 'remanence[vllm]'.") from None
    return vllm
