"""Candidate retrieval: the texts of a corpus with the highest BM25 score, from an index in memory or in a folder.

Paper: Robertson, Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", k1 = 1.2, b = 0.75. The
engine is tantivy. Words are those of `words_of`, handed over as the hexadecimal digits of their keys: no stemming, no
stop words, no language; and a query cannot hold anything but words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remanence.text.words import TOKENIZATION, Words, words_of

FORMAT = 1
NOTE = "candidates.json"
"""The file of the folder that says what was indexed; written last, so a folder without it is not complete."""

CHUNK = 1024
HEAP_BYTES = 256_000_000
SPARE = 16
"""Places fetched beyond k, so that equal scores at the border can be put in order."""


class Top(NamedTuple):
    """The best texts for each of Q queries, best first; of equal scores the smaller id."""

    ids: NDArray[np.int64]
    """[Q, k] places in the corpus, from 0; -1 = nothing more that shares a word."""
    scores: NDArray[np.float32]
    """[Q, k] BM25, higher = more alike; 0 beside -1."""


@dataclass(frozen=True)
class Candidates:
    """A corpus of texts that can be searched; make one with `build`, or `open` a folder that `build` wrote."""

    num_texts: int
    fingerprint: str
    """SHA-256 of the texts in their order, see `fingerprint_of`."""
    _index: Any = field(repr=False)
    _searcher: Any = field(repr=False)
    _known: dict[int, int] = field(default_factory=dict[int, int], repr=False)
    """Texts with a word, for the words asked so far."""

    @classmethod
    def build(cls, texts: Iterable[str], folder: Path | None = None) -> Candidates:
        """Index texts, read once in order, in memory or in a folder; ValueError if the folder has something in it."""
        import tantivy

        if folder is not None:
            if folder.exists() and any(folder.iterdir()):
                raise ValueError(f"{folder} is not empty. Give a new folder, or open this one with Candidates.open.")
            folder.mkdir(parents=True, exist_ok=True)
        index = tantivy.Index(_schema(), path=str(folder) if folder is not None else None)
        writer = index.writer(heap_size=HEAP_BYTES, num_threads=1)
        digest, num = hashlib.sha256(), 0
        stream = iter(texts)
        while chunk := list(islice(stream, CHUNK)):
            words = words_of(chunk)
            for i, text in enumerate(chunk):
                _digest(digest, text)
                document = tantivy.Document()
                document.add_unsigned("id", num)
                document.add_text("words", _spelled(words, i))
                writer.add_document(document)
                num += 1
        writer.commit()
        writer.wait_merging_threads()
        if folder is not None:
            note = {"format": FORMAT, "tokenization": TOKENIZATION, "texts": num, "fingerprint": digest.hexdigest()}
            (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        index.reload()
        return cls(num, digest.hexdigest(), index, index.searcher())

    @classmethod
    def open(cls, folder: Path) -> Candidates:
        """An index that `build` wrote; ValueError if it is incomplete or was made by other rules."""
        import tantivy

        if not (folder / NOTE).is_file():
            raise ValueError(f"{folder} holds no complete index of candidates. Build it again in a new folder.")
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        if (note.get("format"), note.get("tokenization")) != (FORMAT, TOKENIZATION):
            raise ValueError(
                f"{folder} was indexed with format {note.get('format')} and {note.get('tokenization')}, this version "
                f"reads format {FORMAT} and {TOKENIZATION}. Build it again."
            )
        index = tantivy.Index.open(str(folder))
        return cls(note["texts"], note["fingerprint"], index, index.searcher())

    def top(self, queries: Sequence[str], k: int = 10, common: float = 1.0) -> Top:
        """The k texts with the highest BM25 score for each query; any text is a query, even an empty one.

        Words that more than the share `common` of the texts have are left out: 0.3 is three times faster on dialogues,
        and of the ten texts found for an unrelated query two are others.
        """
        ids, scores = np.full((len(queries), k), -1, np.int64), np.zeros((len(queries), k), np.float32)
        words = words_of(queries)
        for q in range(len(queries)):
            keys = np.unique(words.keys[words.offsets[q] : words.offsets[q + 1]])
            if common < 1:
                keys = keys[[self._num_with(int(key)) <= common * self.num_texts for key in keys]]
            if not keys.size or not self.num_texts:
                continue
            query = self._index.parse_query(_hexadecimal(keys), ["words"])
            found, values = self._best(query, k)
            ids[q, : found.size], scores[q, : found.size] = found, values
        return Top(ids, scores)

    def _num_with(self, key: int) -> int:
        if key not in self._known:
            self._known[key] = self._searcher.doc_freq("words", f"{key:016x}")
        return self._known[key]

    def _best(self, query: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Up to k ids and scores; equal scores are fetched until all of them are seen."""
        limit = k + SPARE
        while True:
            hits = self._searcher.search(query, limit, count=False).hits
            scores = np.array([score for score, _ in hits], np.float32)
            if len(hits) < limit or scores[-1] < scores[k - 1]:
                break
            limit *= 4
        ids = np.array(self._searcher.fast_field_values("id", [address for _, address in hits]), np.int64)
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]


def fingerprint_of(texts: Iterable[str]) -> str:
    """SHA-256 of the texts in their order, to notice a changed corpus."""
    digest = hashlib.sha256()
    for text in texts:
        _digest(digest, text)
    return digest.hexdigest()


def _digest(digest: Any, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    digest.update(len(data).to_bytes(8, "little"))
    digest.update(data)


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", fast=True)
    builder.add_text_field("words", tokenizer_name="whitespace", index_option="freq")
    return builder.build()


def _spelled(words: Words, text: int) -> str:
    return _hexadecimal(words.keys[words.offsets[text] : words.offsets[text + 1]])


def _hexadecimal(keys: NDArray[np.uint64]) -> str:
    """Keys [K] as words of 16 digits, with spaces between."""
    return keys.astype(">u8").tobytes().hex(" ", 8)
