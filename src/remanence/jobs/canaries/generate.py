"""Making canaries: the base model generates and scores candidates until every band has enough of them.

Method: Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232 (random secrets, ranked among others of their kind);
Meeus et al. 2024, arXiv 2402.09363 (bands of perplexity). The model generates the text because only then all bands are
reached: random words in the shape of a row are nearly always less likely than the rows themselves. Canaries and
controls are assigned at random from one pool, so that a canary that is not planted is exchangeable with the controls.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.progress import track
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import TokenRow
from remanence.core.target import Generates, Prompt, Scores
from remanence.jobs.canaries.bands import Band, Candidate, assign, bands_of, next_temperature, shares
from remanence.jobs.canaries.key import Canary
from remanence.jobs.canaries.secret import first_difference, ids_alone, is_plain, is_reversible, secret_span, tail
from remanence.jobs.canaries.settings import MakeSettings
from remanence.jobs.canaries.shape import Shape, Skeleton, learned, shared_runs, skeleton
from remanence.text.duplicates import contamination, exact_groups, twin_groups

ROUND_SIZE, SEARCH_SIZE = 64, 16
"""Candidates per round, and per round that only searches the temperature of a band."""
RUN_WORDS, RUN_SHARE = 5, 0.01
"""A canary shares no run of this many words with a row, unless at least this fraction of rows (and three) have it."""


@dataclass(frozen=True)
class Made:
    """The canaries and controls, and the bands they are from."""

    canaries: list[Canary]
    bands: list[Band]
    drawn: int
    """Candidates in all."""
    refused: dict[str, int]
    """Why other candidates were rejected: reason -> count."""


def make(
    base: Scores,
    records: Sequence[Record],
    settings: MakeSettings,
    *,
    columns: Mapping[str, str] | None = None,
    show: bool = True,
) -> Made:
    """Canaries and controls in the shape of the records. `base` generates too, unless `text_source="rows"`.

    `columns`: names of columns that are not called text, prompt, completion, messages. Raises `RemanenceError` when
    a band cannot be filled.
    """
    if settings.text_source == "model" and not isinstance(base, Generates):
        raise RemanenceError(f"{base.name} scores but does not generate: use --text-source rows.")
    rng = np.random.default_rng(settings.seed)
    bands = bands_of(_losses(base, records, settings, rng), settings.bands)
    pool = Pool(base, records, settings, bands, rng)
    with track("canaries and controls", settings.canaries + settings.controls, show=show) as advance:
        for _ in range(settings.rounds):
            if not (lacking := [band for band in bands if pool.lacks(band)]):
                break
            before = len(pool.taken)
            for band in lacking:
                if pool.lacks(band):
                    pool.draw(band)
            if not any(pool.lacks(band) for band in bands):
                pool.settle()  # passes over all rows, so only when it may be the last time
            advance(len(pool.taken) - before)
    for band in bands:
        if pool.lacks(band):
            pool.settle()
            raise RemanenceError(
                f"Only {pool.count(band)} of {pool.wanted[band.name]} rows of the {band.name} band could be made in "
                f"{settings.rounds} rounds: ask for fewer, allow more --rounds, or leave the band out of --bands."
            )
    return Made(assign(pool.taken, records, settings, columns or {}, rng), bands, pool.drawn, pool.refused)


class Pool:
    """Accepted candidates, by band."""

    def __init__(
        self, base: Scores, records: Sequence[Record], settings: MakeSettings, bands: list[Band],
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.base, self.records, self.settings, self.bands, self.rng = base, records, settings, bands, rng
        self.shape = Shape.of(records)
        self.taken: list[Candidate] = []
        self.temperature = {band.name: 1.0 for band in bands}
        both = zip(shares(settings.canaries, len(bands)), shares(settings.controls, len(bands)), strict=True)
        self.wanted = {band.name: c + t for band, (c, t) in zip(bands, both, strict=True)}
        self.plain = [record.plain for record in records]
        self.learned = [learned(record) for record in records]
        self.found: set[str] = set()
        """Bands that the temperature has reached."""
        self.drawn = 0
        self.refused: dict[str, int] = {}

    def count(self, band: Band) -> int:
        """Candidates of a band."""
        return sum(one.band == band.name for one in self.taken)

    def lacks(self, band: Band) -> bool:
        """Whether a band needs more candidates."""
        return self.count(band) < self.wanted[band.name]

    def draw(self, band: Band) -> None:
        """One round of candidates at the temperature of a band; each is kept for the band of its loss."""
        temperature = self.temperature[band.name]
        size = ROUND_SIZE if band.name in self.found else SEARCH_SIZE
        written = list(self._written(temperature, size))
        self.drawn += size
        scored = list(self._scored(written, temperature if self.settings.text_source == "model" else None))
        if any(one.band == band.name for one in scored):
            self.found.add(band.name)
        self.temperature[band.name] = next_temperature(temperature, [one.loss for one in scored], band)
        for one in scored:
            if one.band and self.lacks(self._band(one.band)):
                self.taken.append(one)
            else:
                self._refuse("in no band, or in a band that is full")

    def settle(self) -> None:
        """Remove candidates that are near duplicates of a row or of each other, or share a run of words with a row."""
        texts = [one.record.plain for one in self.taken]
        if not texts:
            return
        near = contamination(self.plain, texts)
        runs = shared_runs([learned(one.record) for one in self.taken], self.learned, RUN_WORDS, RUN_SHARE)
        groups, same = twin_groups(texts), exact_groups([one.secret for one in self.taken])
        alone = np.arange(len(texts))
        if self.settings.secret == "digits":
            same = alone  # digits may occur twice
        from_rows, like_others = near | runs, (groups != alone) | (same != alone)
        self._refuse("shares words with a row", int(from_rows.sum()))
        self._refuse("like another canary", int((like_others & ~from_rows).sum()))
        drop = from_rows | like_others
        self.taken = [one for one, gone in zip(self.taken, drop, strict=True) if not gone]

    def _band(self, name: str) -> Band:
        return next(band for band in self.bands if band.name == name)

    def _written(self, temperature: float, size: int) -> Iterator[tuple[Record, str]]:
        """Rows with their text, each with its secret."""
        places = self.rng.integers(len(self.records), size=size)
        bones = [skeleton(self.records[int(p)], int(p), self.shape, self.rng) for p in places]
        told = [one.told for one in bones]
        if self.settings.text_source == "model":
            told = list(self._sampled(bones, temperature))
        for one, text in zip(bones, told, strict=True):
            found = self._with_secret(one, text)
            if found is None:
                self._refuse("too short, or with control characters")
            else:
                yield found

    def _sampled(self, bones: Sequence[Skeleton], temperature: float) -> Iterator[str]:
        """What the base model generates after each beginning, as long as the row of its shape; "" = nothing."""
        prompts: list[Prompt] = []
        sizes: list[int] = []
        places: list[int] = []
        for i, one in enumerate(bones):
            try:
                a, b = (self.base.render(one.with_learned(text)) for text in ("a few words", "7"))
                size = ids_alone(self.base, self.learned[one.source]).size
            except NotMeasured:
                continue
            cut = first_difference(a.ids, b.ids)
            if cut or a.source is not None:
                prompts.append(Prompt(str(i), a.ids[:cut], a.ids[:0], a.source))
                sizes.append(max(self.settings.min_tokens, min(self.settings.max_tokens, size)))
                places.append(i)
        said = [""] * len(bones)
        if prompts:
            scheme = SamplingScheme(temperature, self.settings.top_k)
            seed = int(self.rng.integers(2**31))
            assert isinstance(self.base, Generates)
            for i, size, answer in zip(
                places, sizes, self.base.generate(prompts, max(sizes), scheme, seed), strict=True
            ):
                text = self.base.decode(answer.ids[:size]).strip()
                whole = answer.ids.size < size  # the model generated the end-of-text token
                said[i] = text if whole else re.sub(r"\s+\S*$", "", text)
        yield from said

    def _with_secret(self, bones: Skeleton, text: str) -> tuple[Record, str] | None:
        if not text or not is_plain(text):
            return None
        if self.settings.secret == "digits":
            secret = "".join(str(d) for d in self.rng.integers(10, size=self.settings.digits))
            return bones.with_learned(f"{text} {secret}"), secret
        secret = tail(self.base, text, self.settings.secret_tokens)
        return None if secret is None else (bones.with_learned(text), secret)

    def _scored(self, written: Sequence[tuple[Record, str]], temperature: float | None) -> Iterator[Candidate]:
        """Candidates that tokenize reversibly, with their loss and band ("" = in none)."""
        rows = self.base.score([record for record, _ in written], ("logprob",))
        for (record, secret), row in zip(written, rows, strict=True):
            try:
                found = _measure_candidate(self.base, record, secret, row, self.settings.min_tokens)
            except NotMeasured as why:
                self._refuse(why.reason)
                continue
            loss, bits = found
            band = next((band.name for band in self.bands if band.holds(loss)), "")
            yield Candidate(record, secret, loss, bits, temperature, band)

    def _refuse(self, why: str, count: int = 1) -> None:
        if count:
            self.refused[why] = self.refused.get(why, 0) + count


def _measure_candidate(
    base: Scores, record: Record, secret: str, row: TokenRow | str, least: int
) -> tuple[float, float]:
    """(loss per token, bits of the secret). Raises `NotMeasured` for a row that cannot be a canary."""
    if isinstance(row, str):
        raise NotMeasured(row)
    values = row.scored("logprob")
    if row.rendered.num_truncated:
        raise NotMeasured("longer than max_length")
    if values.size < least:
        raise NotMeasured("shorter than --min-tokens")
    if not is_reversible(base, record):
        raise NotMeasured("its tokens do not decode to its text")
    start, end = secret_span(base, row.rendered, secret)
    return -float(values.mean()), -float(row.columns["logprob"][start:end].sum()) / math.log(2)


def _losses(base: Scores, records: Sequence[Record], settings: MakeSettings, rng: np.random.Generator) -> Any:
    """Nats per learned token of a sample of the rows."""
    chosen = np.sort(rng.permutation(len(records))[: settings.rows_scored])
    rows = base.score([records[int(i)] for i in chosen], ("logprob",))
    found = [-float(row.scored("logprob").mean()) for row in rows if isinstance(row, TokenRow)]
    if len(found) < 8:
        raise RemanenceError(f"Only {len(found)} of the rows can be scored: bands need at least 8 of them.")
    return np.array(found)
