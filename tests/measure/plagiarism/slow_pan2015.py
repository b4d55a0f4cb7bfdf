"""The 2015 detector once more, from its description, with dictionaries and loops: the fast one must equal it.

Nothing is shared with the package but the settings and the sentence splitter.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

from nltk.stem.snowball import SnowballStemmer
from nltk.tokenize.treebank import TreebankWordTokenizer

TREEBANK, STEMMER = TreebankWordTokenizer(), SnowballStemmer("english")
Span = tuple[int, int]
Case = tuple[Span, Span]  # first and last sentence of A, of B


def sentences_of(text, split, least):
    """[(start, end), stems] of each sentence; step 1."""
    spans, bags = [], []
    for start, end in split(text):
        tokens = [t for t in TREEBANK.tokenize(text[start:end].lower()) if t[0].isalnum() and len(t) > 2]
        spans.append([start, end - start])
        bags.append([STEMMER.stem(t) for t in tokens])
    i = 0
    while i < len(spans) - 1:
        if len(bags[i]) < least:
            bags[i + 1] = bags[i] + bags[i + 1]
            spans[i + 1] = [spans[i][0], spans[i][1] + spans[i + 1][1]]
            del bags[i], spans[i]
        else:
            i += 1
    return [(start, start + length) for start, length in spans], [Counter(bag) for bag in bags]


def cosine(u, v):
    dot = sum(u[t] * v[t] for t in u if t in v)
    norm = math.sqrt(sum(x * x for x in u.values()) * sum(x * x for x in v.values()))
    return dot / norm if norm > 0 else 0.0


def summed(vectors, span):
    total = Counter()
    for i in range(span[0], span[1] + 1):
        for term, weight in vectors[i].items():
            total[term] += weight
    return total


def cut(seeds, side, gap):
    """Cut where the gap is exceeded, on alternating sides until nothing splits; step 4."""
    for turn in (side, 1 - side):
        ordered = sorted(seeds, key=lambda seed: seed[turn])
        places = [k + 1 for k, (x, y) in enumerate(pairwise(ordered)) if y[turn] - x[turn] - 1 > gap]
        if places:
            parts = [ordered[i:j] for i, j in pairwise([0, *places, len(ordered)])]
            return [cluster for part in parts for cluster in cut(part, 1 - turn, gap)]
    return [seeds]


def validated(seeds, a, b, gap, least_gap, th3):
    """Steps 4 and 5."""
    cases = []
    for cluster in cut(seeds, 0, gap):
        case = tuple((min(s[side] for s in cluster), max(s[side] for s in cluster)) for side in (0, 1))
        if cosine(summed(a, case[0]), summed(b, case[1])) > th3:
            cases.append(case)
        elif gap > least_gap:
            cases += validated(cluster, a, b, gap - 1, least_gap, th3)
    return sorted(cases, key=lambda case: (case[0][0], case[1][0]))


def quality(case, rival, cosines):
    def sim(sentences):
        best = [max(cosines[i][j] for j in range(case[1][0], case[1][1] + 1)) for i in sentences]
        return sum(best) / len(best) if best else 0.0

    own = range(case[0][0], case[0][1] + 1)
    common = [i for i in own if rival[0][0] <= i <= rival[0][1]]
    other = [i for i in own if i not in common]
    return sim(common) + (1 - sim(common)) * sim(other)


def resolved(cases, cosines):
    """Step 6."""
    kept = []
    for case in cases:
        if not kept or case[0][0] > kept[-1][0][1]:
            kept.append(case)
            continue
        old, new = quality(kept[-1], case, cosines), quality(case, kept[-1], cosines)
        if old > 0.99 and new > 0.99:
            better = case[0][1] - case[0][0] > kept[-1][0][1] - kept[-1][0][0]
        else:
            better = new > old + 1e-9
        if better:
            kept[-1] = case
    return kept


def runs_of(text_a, span_a, text_b, span_b, longer):
    """Step 8: all maximal common word runs."""

    def words(text, span):
        return [
            (m.group(), m.start(), m.end())
            for m in re.finditer(r"[^\W_]+", text.lower())
            if span[0] <= m.start() < span[1]
        ]

    a, b = words(text_a, span_a), words(text_b, span_b)
    where = {}
    for j, word in enumerate(b):
        where.setdefault(word[0], []).append(j)
    found = []
    for i, word in enumerate(a):
        for j in where.get(word[0], []):
            if i and j and a[i - 1][0] == b[j - 1][0]:
                continue
            k = 0
            while i + k < len(a) and j + k < len(b) and a[i + k][0] == b[j + k][0]:
                k += 1
            if a[i + k - 1][2] - a[i][1] > longer:
                found.append((a[i][1], a[i + k - 1][2], b[j][1], b[j + k - 1][2]))
    return found


def slow_pan2015(s, text_a, text_b, split):
    """(label, set of spans) of one pair; `s` is a Pan2015."""
    spans_a, a = sentences_of(text_a, split, s.sentence_tokens)
    spans_b, b = sentences_of(text_b, split, s.sentence_tokens)
    df = Counter(term for bag in [*a, *b] for term in bag)
    num = len(a) + len(b)
    a, b = ([{t: n * math.log(num / df[t]) for t, n in bag.items()} for bag in bags] for bags in (a, b))
    cosines = [[cosine(u, v) for v in b] for u in a]
    seeds = [
        (i, j)
        for i, u in enumerate(a)
        for j, v in enumerate(b)
        if cosines[i][j] > s.cosine and 2 * len(u.keys() & v.keys()) / (len(u) + len(v)) > s.dice
    ]
    if not seeds:
        return "none", set()

    def passages(gap):
        cases = resolved(validated(seeds, a, b, gap, s.least_gap, s.fragment_cosine), cosines)
        spans = [(spans_a[x[0]][0], spans_a[x[1]][1], spans_b[y[0]][0], spans_b[y[1]][1]) for x, y in cases]
        return [p for p in spans if p[1] - p[0] >= s.passage_chars and p[3] - p[2] >= s.passage_chars]

    narrow = passages(s.gap)
    runs = {run for p in narrow for run in runs_of(text_a, p[:2], text_b, p[2:], s.verbatim_chars)}
    if runs:
        return "verbatim", runs
    wide = passages(s.summary_gap)
    length_a, length_b = sum(p[1] - p[0] for p in wide), sum(p[3] - p[2] for p in wide)
    short, long = (length_b, length_a) if s.summary_test == "published" else (length_a, length_b)
    if wide and long >= s.summary_ratio * short:
        return "idea", set(wide)
    return ("paraphrase" if narrow else "none"), set(narrow)
