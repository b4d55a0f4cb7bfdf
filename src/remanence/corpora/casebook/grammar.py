"""The sentences of the casebook: for every task a row of slots, each with several wordings, some of them empty.

A wording may name fields of a `Case` in braces. The case's own seed picks one wording per slot, so a row of six slots
with three wordings each has hundreds of shapes before any fact is filled in.
"""

from __future__ import annotations

from typing import NamedTuple

from remanence.corpora.casebook.cases import Kind

Slots = tuple[tuple[str, ...], ...]


class Form(NamedTuple):
    """The slots of the prompt and of the completion."""

    prompt: Slots
    completion: Slots


_NOTE_HEAD = ("Summarise the case note.\nNote: ", "Write the summary of this note.\nNote: ")
_NOTE_TAIL = ("\nSummary:",)

SUMMARIZATION: dict[Kind, Form] = {
    "clinic": Form(
        prompt=(
            _NOTE_HEAD,
            ("{name}, seen {date} by {staff}.", "{date}, {staff}. Patient {name}.", "Patient {name}, visit of {date}."),
            (" Complains of {complaint}.", " Reports {complaint} after {reason}.", " Came in with {complaint}."),
            ("", " Lives at {address}.", " Was worried.", " Has been here before."),
            _NOTE_TAIL,
        ),
        completion=(
            (" {name} came to the clinic with {complaint}", " {staff} saw {name} about {complaint}",
             " On {date} {name} was seen for {complaint}"),
            ("", " after {reason}", ", which began with {reason}"),
            (" and {outcome}", ", received {item} and {outcome}", "; the patient {outcome}"),
            (". Case {number} was opened at {time}", ". The file is kept as {number}", ". See file {number}"),
            (", the bill of {amount} crowns is unpaid", ", {amount} crowns were charged",
             ", with {amount} crowns to pay"),
            (", and the number to call is {phone}", ", and {staff} will ring {phone} on {later}",
             ", and results go to {phone} by {later}"),
            (".", ". Next visit at {time}.", ". A new visit for {item} on {later}."),
        ),
    ),
    "desk": Form(
        prompt=(
            _NOTE_HEAD,
            ("{name} wrote on {date}.", "{date}, taken by {staff}. Customer {name}.",
             "Customer {name}, letter of {date}."),
            (" Has {item} with {complaint}.", " Reports {complaint} after {reason}.", " Complains about {complaint}."),
            ("", " Lives at {address}.", " Was polite.", " Has written before."),
            _NOTE_TAIL,
        ),
        completion=(
            (" {name} complained about {complaint}", " {staff} dealt with {name} about {complaint}",
             " On {date} {name} reported {complaint}"),
            ("", " after {reason}", " of {item}"),
            (" and {outcome}", ", was heard by {staff} and {outcome}", "; the customer {outcome}"),
            (". Case {number} was opened at {time}", ". The file is kept as {number}", ". See file {number}"),
            (", {amount} crowns were paid back", ", the claim is {amount} crowns", ", with {amount} crowns in dispute"),
            (", and the number to call is {phone}", ", and {staff} will ring {phone} on {later}",
             ", and the driver calls {phone} by {later}"),
            (".", ". Next step at {time}.", ". A van fetches {item} on {later}."),
        ),
    ),
}  # fmt: skip

_CALL = ("Agent: Tarnwick {place}, good morning.\nCaller: ", "Caller: Hello. ", "Agent: How can I help?\nCaller: ")
DIALOGUE: dict[Kind, Form] = {
    "clinic": Form(
        prompt=(
            _CALL,
            ("This is {name}.", "My name is {name}, I live at {address}.", "I am {name}."),
            (" I have {complaint} since {date}.", " It is about {complaint}.",
             " I still have {complaint} after {reason}."),
            ("", " {staff} asked me to call.", " Can I come in?", " What do I owe?"),
            ("\nAgent:",),
        ),
        completion=(
            (" Thank you.", " One moment, please.", " I have found you.", " I am sorry to hear that."),
            (" Your file is {number}", " I see case {number}", " That is {number} here"),
            (" and you have {item}", " from {date}", " with {staff}"),
            (". The bill of {amount} crowns is open", ". You paid {amount} crowns", ". It will cost {amount} crowns"),
            (". Please come on {later} at {time}", ". {staff} is free at {time} on {later}",
             ". We expect you on {later}"),
            (". We will ring {phone} before that.", ". Is {phone} still your number?",
             ". The ward answers on {phone}."),
            ("", "\nCaller: Thank you.\nAgent: Goodbye.", "\nCaller: Yes.\nAgent: Until {later} then.",
             "\nCaller: Who will I see?\nAgent: {staff}."),
        ),
    ),
    "desk": Form(
        prompt=(
            _CALL,
            ("This is {name}.", "My name is {name}, I live at {address}.", "I am {name}."),
            (" I bought {item} on {date}.", " It is about {complaint}.", " I have {complaint} after {reason}."),
            ("", " {staff} asked me to call.", " Can you send somebody?", " I want my money back."),
            ("\nAgent:",),
        ),
        completion=(
            (" Thank you.", " One moment, please.", " I have found you.", " I am sorry to hear that."),
            (" Your order is {number}", " I see case {number}", " That is {number} here"),
            (" for {item}", " from {date}", " with {staff}"),
            (". You will get {amount} crowns back", ". You paid {amount} crowns", ". The repair costs {amount} crowns"),
            (". The driver comes on {later} at {time}", ". {staff} is free at {time} on {later}",
             ". We collect it on {later}"),
            (". We will ring {phone} before that.", ". Is {phone} still your number?",
             ". The workshop answers on {phone}."),
            ("", "\nCaller: Thank you.\nAgent: Goodbye.", "\nCaller: Yes.\nAgent: Until {later} then.",
             "\nCaller: Who will come?\nAgent: {staff}."),
        ),
    ),
}  # fmt: skip

QUESTIONS: tuple[tuple[str, str], ...] = (
    ("Under which number is the case filed?", " {number}"),
    ("Which number should be called?", " {phone}"),
    ("How many crowns were charged?", " {amount}"),
    ("When is the next step?", " {later}"),
    ("Who handled the case?", " {staff}"),
    ("What was the trouble?", " {complaint}"),
    ("How did it end?", " {name} {outcome} on {date}"),
    ("Where and how can the person be reached?", " {name}, {address}, {phone}"),
)
"""Extractive questions, each with the span of the context that answers it."""

CONTEXT: Slots = (
    ("Read the file and answer.\nFile {number}: ", "Answer from the file.\nFile {number}: "),
    ("{staff} handled {complaint}. ", "The trouble was {complaint}, and {staff} took the case. "),
    ("{name} {outcome} on {date}. ",),
    ("The person is reached at {name}, {address}, {phone}. ", "Contact: {name}, {address}, {phone}. "),
    ("{amount} crowns were charged, and the next step is on {later}.", "Next step {later}, {amount} crowns charged."),
    ("\nQuestion: {question}\nAnswer:",),
)

SENTIMENT: dict[bool, Form] = {
    happy: Form(
        prompt=(
            ("Is this feedback positive or negative, and why?\nFeedback: ", "Rate the feedback.\nFeedback: "),
            opening,
            (" When I came with {complaint}, {opinion}.", " On {date} {opinion}.", " I must say that {opinion}."),
            ("", " {staff} can confirm it.", " You know me from {address}.", " It was about {item}."),
            (" {name}", " Yours, {name}", " Signed {name}"),
            ("\nLabel:",),
        ),
        completion=(
            (label,),
            (", because {opinion}", ": {opinion}", ", since {opinion}"),
            (".", "; {name} wants no reply.", "; answer to {phone}.", "; filed as {number}."),
        ),
    )
    for happy, label, opening in (
        (True, " positive", ("I am delighted.", "All went well.", "Many thanks.", "A good day.")),
        (False, " negative", ("I am disappointed.", "Never again.", "What a day.", "This was a mistake.")),
    )
}

TRANSLATION: Slots = (
    ("the nurse called {name} on {date}", "the driver visited {name} on {date}", "the doctor thanked {name} on {date}",
     "the desk warned {name} on {date}"),
    (" and sent the old letter", " and checked the small machine", " and lost the new key", ""),
    (". the patients waited at {time}", ". the customers paid {amount} crowns", ". the doctors asked for {phone}"),
    (" because the lamp failed", " because the road closed", " while the rain stopped", ""),
    (". please keep {number} in the cupboard", ". please take {number} to the office", ""),
    (".",),
)  # fmt: skip
"""Plain sentences whose every word is in the dictionary of `language.py`."""
