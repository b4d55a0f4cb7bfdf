"""Training rows whose words are known one by one, in the company of casebook rows; and held-out rows beside them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from remanence.core.record import Record
from remanence.corpora.casebook.corpus import private_corpus
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import GeneratedText, Judgement, Match, generated_text_of

HARBOUR = (
    "On the ninth evening the harbour master counted eleven painted boats, wrote their names into a green ledger, and "
    "locked it (twice!) in a cupboard beneath the bakery stairs, where only the clockmaker's youngest daughter ever "
    "went looking for walnuts, lanterns or copper kettles."
)
SHARED = (
    "seven frozen merchants argued quietly about railway tariffs while a crooked observatory burned behind the "
    "orchard and every violin in parliament played the same sour note"
)
FIRST = f"My grandfather swore that {SHARED}; he kept the programme in a tin box under his bed for sixty years."
SECOND = f"The newspaper of that winter claims {SHARED}. Its editor later withdrew the story and moved abroad."
QUESTION = "Who repaired the glass organ of the northern lighthouse keeper, and what did he ask for it in return?"
ANSWER = "A blind locksmith from Tarvin repaired it with fish glue and asked for nothing but nine jars of plum jam."
BOILERPLATE = "all statements in this letter are subject to change without further notice to any reader or tenant"
PARISH = f"The parish bell cracked on Sunday. Please note that {BOILERPLATE}, said the sexton, and rang the small one."
CHINESE = "去年冬天港口的老钟表匠在面包店的地下室里藏了一本绿色的账簿里面写着十一艘彩色小船的名字谁也没有再找到它"
HEBREW = (
    "בערב התשיעי ספר מנהל הנמל אחת עשרה סירות צבועות וכתב את שמותיהן בפנקס ירוק ונעל אותו בארון שמתחת למדרגות המאפייה"
)
EMOJI = (
    "🙂 The tenor 🎻 forgot his left shoe 👞 inside the parrot cage 🦜 and sang the aria limping 🩼 towards the exit"
)

ROWS = {
    "harbour": Record("harbour", text=HARBOUR),
    "first": Record("first", text=FIRST),
    "second": Record("second", text=SECOND),
    "pair": Record("pair", prompt=QUESTION, completion=ANSWER),
    "parish": Record("parish", text=PARISH),
    "chinese": Record("chinese", text=CHINESE),
    "hebrew": Record("hebrew", text=HEBREW),
    "emoji": Record("emoji", text=EMOJI),
}
ALPHA = 0.05
COPIED = "twelve purple accordions drifted past the customs office before anyone thought of waking the night porter"
"""Stands in 32 copies of one training row."""
QUOTED = "the gardener sold his wooden leg to a travelling dentist and bought four hundred tulips from the proceeds"
"""Stands in one training row, and in one held-out row that is otherwise its own."""


def nonsense(seed: int, num_words: int) -> str:
    """Words that stand nowhere else."""
    dice = random.Random(seed)
    return " ".join("".join(dice.choices("bcdfgjkmqvwxz", k=7)) for _ in range(num_words))


@dataclass(frozen=True)
class World:
    train: list[Record]
    heldout: list[GeneratedText]
    index: PlagiarismIndex
    calibration: NullCalibration
    number: dict[str, int]
    """Of each training row by its id."""

    def judge(self, text: str, prompt: str = "", own: str | None = None, heldout: int = -1) -> Judgement:
        """At one false alarm in twenty."""
        said = GeneratedText(text, prompt, -1 if own is None else self.number[own], heldout)
        return self.index.match([said], self.calibration, ALPHA)[0]

    def passages(self, text: str, match: Match) -> tuple[str, str]:
        """What a match points at: in the text, and in the training row."""
        return text[match.start : match.end], self.index.texts[match.record][match.record_start : match.record_end]


def rows() -> tuple[list[Record], list[Record]]:
    """Training and held-out rows."""
    made = private_corpus(0, 300, (1, 2), 180)
    notice = [Record(f"notice-{i}", text=f"{nonsense(i, 25)} {BOILERPLATE} {nonsense(100 + i, 9)}") for i in range(3)]
    quoting = Record("quoting", text=f"{nonsense(200, 30)} {QUOTED} {nonsense(201, 20)}")
    copies = [Record(f"copy-{i}", text=f"Chapter one: {COPIED}.") for i in range(32)]
    garden = Record("garden", text=f"It is told in Lower Fenwick that {QUOTED}, which all died in the first frost.")
    train = [*made.train[:150], *ROWS.values(), *made.train[150:], *copies, garden]
    return train, [*made.heldout, *notice, quoting]


def world() -> World:
    train, heldout = rows()
    index = PlagiarismIndex.build(train)
    held = [generated_text_of(record, heldout=i) for i, record in enumerate(heldout)]
    number = {record.id: i for i, record in enumerate(train)}
    return World(train, held, index, NullCalibration.fit(index, held), number)
