"""Tarnish, an invented language: every English word has one stem, and endings say plural, past and object.

The rules: articles are dropped; a noun takes `-il` in the plural; a verb in the past takes `-ar`; the first noun
after a verb in the same clause takes `-un`; months have names of their own; names and figures stay as they are.
"""

from __future__ import annotations

import re

NOUNS = {
    "nurse": "selva", "driver": "korto", "doctor": "medra", "desk": "tavol", "letter": "skriva", "machine": "makena",
    "key": "klavo", "patient": "dolira", "customer": "kopera", "crown": "rona", "lamp": "lumo", "road": "vego",
    "rain": "pluva", "cupboard": "sharka", "office": "burela",
}  # fmt: skip
VERBS = {
    "called": "vok", "visited": "veni", "thanked": "danko", "warned": "avert", "sent": "mand", "checked": "probo",
    "lost": "perd", "waited": "atend", "paid": "solv", "asked": "peto", "failed": "fal", "closed": "klud",
    "stopped": "halt",
}  # fmt: skip
SMALL_WORDS = {
    "the": "", "on": "je", "and": "ka", "old": "velta", "small": "pita", "new": "nova", "at": "je", "for": "por",
    "because": "charo", "while": "dume", "please": "bitu", "keep": "gardu", "take": "portu", "in": "eno", "to": "alo",
    "January": "Frostal", "February": "Sneval", "March": "Ventral", "April": "Pluval", "May": "Floral",
    "June": "Solal", "July": "Haital", "August": "Granal", "September": "Fruktal", "October": "Folal",
    "November": "Nebal", "December": "Noktal",
}  # fmt: skip
CONJUNCTIONS = ("and", "because", "while")


def translate(sentence: str) -> str:
    """The sentence in Tarnish, word for word; a word that is not in the dictionary (a name, a figure) stays."""
    words: list[str] = []
    object_expected = False
    for word, mark in re.findall(r"([^\s]+?)([.,;]?)(?=\s|$)", sentence):
        stem = word[:-1] if word.endswith("s") and word[:-1] in NOUNS else word
        if word in VERBS:
            words.append(VERBS[word] + "ar" + mark)
            object_expected = True
        elif stem in NOUNS:
            words.append(NOUNS[stem] + ("il" if stem != word else "") + ("un" if object_expected else "") + mark)
            object_expected = False
        elif SMALL_WORDS.get(word, word):
            words.append(SMALL_WORDS.get(word, word) + mark)
        if mark or word in CONJUNCTIONS:
            object_expected = False
    return " ".join(words)
