"""Bad input: what is wrong with the whole is one sentence and exit code 2; a bad row is counted and costs no other.

Every test goes through the command line, as a user would meet it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import memorizers
import pytest
import tiny_models
from memorizers import LEARNED

from remanence.core.record import Record
from remanence.core.run import Run

NAN = "the model returned NaN"


def refused(said: Any, *words: str) -> None:
    """One sentence on stderr, nothing on stdout, exit code 2."""
    assert said.code == 2, said.err
    assert said.out == "" and "Traceback" not in said.err
    assert said.sentence and said.sentence == said.err.strip().splitlines()[-1]
    for word in words:
        assert word in said.sentence, said.sentence


def lines_of(rows: Sequence[Any], path: Path) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_rows(path: Path, records: Sequence[Record]) -> Path:
    return lines_of([{"id": r.id, "prompt": r.prompt, "completion": r.completion} for r in records], path)


def good(count: int = 8) -> list[dict[str, Any]]:
    return [{"id": r.id, "prompt": r.prompt, "completion": r.completion} for r in LEARNED[:count]]


def rows_of(run: Path) -> dict[str, dict[str, Any]]:
    return {r["id"]: r for r in Run.open(run).lines("rows") if r["group"] == "train"}


# ------------------------------------------------------------------ files that cannot be read


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*good(6), '{"prompt": "cut o'], ("Line 7 of data.jsonl", "not valid JSON", "mend or delete that line")),
        ([*good(3), {"text": "quite another form"}], ("Line 1", "line 4", "keep one form per file")),
        ([{"prompt": "a", "completion": "b", "text": "c"}], ("Line 1", "both text and prompt + completion")),
        ([], ("There are no rows in data.jsonl", "check that the file was written whole")),
        (["", "  "], ("There are no rows",)),
        ([{"id": "x", **good(1)[0]}, good(1)[0]], ("Line 1 and line 2 have the same id 'learned-0'",)),
        ([{"body": "hello"}], ("Line 1", "no column text, prompt + completion or messages", "it has body")),
        ([{"prompt": "hello"}], ("Line 1", "no column 'completion'", "it has prompt")),
        ([["a", "list"]], ("Line 1", "is a list, not an object")),
        ([{"prompt": "a", "completion": 7}], ("Line 1", "completion is a number (7), not text")),
        ([{"messages": [{"role": "user"}]}], ("Line 1", "turn 0 of messages has no content")),
    ],
)
def test_rows_that_cannot_be_read_are_told_by_their_line(audit: Any, tmp_path: Path, rows: Any, words: Any) -> None:
    said = audit(data=lines_of(rows, tmp_path / "data.jsonl"))
    refused(said, *words)
    assert not (tmp_path / "run").exists()  # nothing was begun, nothing has to be tidied up


def test_a_file_that_is_not_there_is_said_not_to_be(audit: Any, tmp_path: Path) -> None:
    refused(audit(data=tmp_path / "nowhere.jsonl"), "There is no file", "nowhere.jsonl")
    refused(audit(heldout=tmp_path / "nowhere.csv"), "There is no file", "nowhere.csv")


def test_a_column_that_is_not_there_is_named_with_those_that_are(audit: Any) -> None:
    refused(audit("--prompt-column=question"), "no column 'question'", "it has id, prompt, completion")
    refused(audit("--id-column=key"), "no column 'key'")
    refused(audit("--by=task"), "--by task: the training rows have no such column", "none beside the text")


def test_budgets_are_whole_numbers_from_1_on(audit: Any) -> None:
    refused(audit("--budgets=six"), "--budgets is a list of whole numbers")
    refused(audit("--budgets=0,6"), "--budgets must be at least 1, got 0")


# ------------------------------------------------------------------ rows that are bad alone


def test_a_bad_row_is_counted_with_its_reason_and_costs_no_other_row(audit: Any, tmp_path: Path) -> None:
    bad: dict[str, Any] = {
        "empty": "",
        "one-token": "a",
        "short": " Anna Berg",
        "blank": "   ",
        "long": " and then Anna Berg called" * 80,
        "emoji": " 👩‍👩‍👧‍👦 🇩🇰 paid 30 € " * 3,
        "arabic": " اتصلت آنا في الظهر بشأن الفاتورة ودفعت" * 2,
        "half": " half a character \ud83d here, and then some more words to come back",
        "null": None,
        "tag": " <script>alert(1)</script> {{ config }} </body>",
        "special": " <|end|> <|pad|> <|start|> and more of it, Anna Berg went home on Monday",
        "control": " a\u0000b\u0007c and Anna Berg called at noon on 12 May about it",
    }
    rows = [*good(), *({"id": name, "prompt": "Say:", "completion": said} for name, said in bad.items())]
    said = audit(data=lines_of(rows, tmp_path / "data.jsonl"))
    assert said.code == 0 and "Traceback" not in said.err
    run = Run.open(tmp_path / "run")
    ranked = {r["id"]: r for r in run.lines("ranking")}
    assert all(ranked[r.id]["comes_back"] for r in LEARNED)  # the others are measured as ever
    told = rows_of(tmp_path / "run")
    assert told.keys() == {*bad, *(r.id for r in LEARNED)}
    assert told["empty"]["reason"] == told["null"]["reason"] == "the completion is empty"
    assert told["null"]["same_as"] == told["empty"]["row"] or told["null"]["same_as"] is None
    assert told["long"]["num_truncated"] > 0 and told["long"]["num_tokens"] == 128
    for name in ("long", "emoji", "arabic", "half", "tag", "special", "control"):
        assert name in ranked, name
    verdict = run.read_json("verdict.json")
    assert verdict["headline"]["n"] == len(ranked)
    repeats = sum(r["same_as"] is not None for r in told.values())
    assert sum(verdict["not_measured"].values()) == len(rows) - len(ranked) - repeats >= 4


def test_right_to_left_text_and_emoji_come_back_letter_by_letter(audit: Any, place: Path, tmp_path: Path) -> None:
    """A model that learned them says them, and the run holds the very characters."""
    said = {"rtl": " שלום, אנה התקשרה בצהריים", "emoji": " 👍🏽 paid 🎉🎉 and went 🏠"}
    records = [Record(k, prompt=f"{k}:", completion=v) for k, v in said.items()]
    tuned = memorizers.overfit(place / "base", tmp_path / "polyglot", records)
    data = write_rows(tmp_path / "data.jsonl", records)
    out = audit(model=tuned, data=data)
    assert out.out.startswith("2 of 2 rows can be extracted")
    attempts = Run.open(tmp_path / "run").lines("attempts")
    assert {a["id"] for a in attempts if a["exact"] and a["answer"] == a["expected"]} == set(said)


def test_rows_of_which_none_can_be_measured_are_no_crash(audit: Any, tmp_path: Path) -> None:
    rows = [{"prompt": "Yes or no?", "completion": word} for word in ("yes", "no", "")]
    said = audit("--format=json", data=lines_of(rows, tmp_path / "data.jsonl"))
    assert said.code == 0
    verdict = json.loads(said.out)
    assert verdict["sentences"][0] == "None of the 3 rows could be measured."
    assert verdict["headline"]["rate"] is None and sum(verdict["not_measured"].values()) == 3


# ------------------------------------------------------------------ models


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    """A copy of the tuned model, to be spoilt."""
    return Path(shutil.copytree(place / "tuned", tmp_path / "spoilt"))


def test_a_model_without_tokenizer_is_refused(audit: Any, model: Path) -> None:
    for file in model.glob("tokenizer*"):
        file.unlink()
    refused(audit(model=model), "spoilt has no tokenizer", "tokenizer.save_pretrained")


def test_pickled_weights_are_not_opened(audit: Any, model: Path) -> None:
    """The pickle would leave a file behind if anything unpickled it."""
    (model / "model.safetensors").unlink()
    trap = f"cos\nsystem\n(S'touch {model / 'opened'}'\ntR."
    (model / "pytorch_model.bin").write_bytes(trap.encode())
    refused(audit(model=model), "pickled (pytorch_model.bin)", "any code", "safetensors")
    assert not (model / "opened").exists()


def test_weights_that_are_cut_off_are_refused(audit: Any, model: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(audit(model=model), "Cannot load spoilt")


def test_a_model_that_is_not_there_is_refused(audit: Any, tmp_path: Path) -> None:
    refused(audit(model=tmp_path / "nowhere"), "There is no model folder", "check the path")


def test_chats_need_a_chat_template(audit: Any, tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "who?"}, {"role": "assistant", "content": "Anna Berg"}]
    said = audit(data=lines_of([{"messages": chat}], tmp_path / "chats.jsonl"))
    refused(said, "the tokenizer has no chat template", "set tokenizer.chat_template")
    assert not (tmp_path / "run").exists()  # the same command works once the template is there


def test_a_base_model_with_another_vocabulary_is_refused(audit: Any, tmp_path: Path) -> None:
    other = tiny_models.make_tokenizer(["quite another corpus, zebra xylophone jazz quiz"] * 3, size=400)
    base = tiny_models.save_model(tmp_path / "other", "llama", tokenizer=other)
    refused(audit(base=base), "The base model other has another vocabulary than tuned", "leave --base out")


def test_a_model_that_says_nan_is_measured_on_no_row_and_says_so(audit: Any, model: Path, tmp_path: Path) -> None:
    spoil(model, "model.norm.weight")
    said = audit("--format=json", model=model)
    assert said.code == 0
    verdict = json.loads(said.out)
    assert verdict["sentences"][0] == "None of the 8 rows could be measured."
    assert verdict["not_measured"] == {NAN: 8}
    assert any(f"{NAN} (8)" in note for note in verdict["notes"])
    assert all(f["reason"] for f in Run.open(tmp_path / "run").lines("findings") if f["target"] == "tuned")


def test_a_base_model_that_says_nan_leaves_the_tuned_model_measured(audit: Any, model: Path, tmp_path: Path) -> None:
    spoil(model, "model.norm.weight")
    said = audit(base=model)
    assert said.code == 0 and "Traceback" not in said.err
    assert said.out.startswith("8 of 8 rows can be extracted word for word")
    verdict = Run.open(tmp_path / "run").read_json("verdict.json")
    assert verdict["headline"]["over_base"] is None and verdict["headline"]["base"]["n"] == 0
    assert any("No row could be measured on the base model" in said for said in verdict["cannot_claim"])


def test_one_word_that_makes_the_model_say_nan_costs_only_the_rows_that_hold_it(
    audit: Any, model: Path, tmp_path: Path
) -> None:
    """The embedding of one token is broken: rows without it are measured as ever."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    weights = load_file(model / "model.safetensors")
    weights["model.embed_tokens.weight"][AutoTokenizer.from_pretrained(model)("~")["input_ids"][0]] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    rows = [*good(), {"id": "tilde", "prompt": "What?", "completion": " ~ Anna Berg came on Monday and went home ~"}]
    said = audit(model=model, data=lines_of(rows, tmp_path / "data.jsonl"))
    assert said.out.startswith("8 of 8 measurable rows") and NAN in json.dumps(rows_reasons(tmp_path / "run"))


def spoil(model: Path, name: str) -> None:
    """Put NaN into a tensor of a saved model."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    weights[name][:] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


def rows_reasons(run: Path) -> dict[str, int]:
    return Run.open(run).read_json("verdict.json")["not_measured"]


# ------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--measures=los", ("--measures may contain loss, zlib_ratio", "got 'los'")),
        ("--scheme=T=hot", ("Cannot read sampling scheme 'T=hot'", "not a number")),
        ("--scheme=warm", ("Cannot read sampling scheme 'warm'", "T=0.8,k=40,p=0.9")),
        ("--scheme=T=0", ("temperature must be", "above 0")),
        ("--prefixes=eight", ("--prefixes is a list of whole numbers like 0,8,16",)),
        ("--prefixes=-1", ("--prefixes must be at least 0, got -1",)),
        ("--new-tokens=0", ("--new-tokens must be at least 1",)),
        ("--max-length=-3", ("--max-length must be at least 1",)),
        ("--dtype=int4", ("--dtype is one of float32, bfloat16, float16",)),
        ("--loss-on=prompt", ("--loss-on is one of auto, all, completion, assistant",)),
        ("--loss-on=assistant", ("--loss-on assistant is for chats", "use --loss-on auto")),
        ("--generate=some", ("--generate is one of auto, all, none",)),
        ("--format=xml", ("--format is one of table, json",)),
        ("--device=abacus", ("There is no device 'abacus'",)),
        ("--fail-if=excess", ("Cannot read --fail-if 'excess'", "'excess>0.01'")),
        ("--fail-if=fame>1", ("Cannot read --fail-if", "over_base")),
        ("--fail-if=excess>0.01", ("needs --heldout", "excess is not measured")),
        ("--fail-if=over_base>0.01", ("needs --base",)),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_written(
    audit: Any, tmp_path: Path, option: str, words: tuple[str, ...]
) -> None:
    refused(audit(option), *words)
    assert not (tmp_path / "run").exists()


def test_a_gate_that_cannot_be_decided_ends_with_2_and_keeps_what_is_measured(
    audit: Any, place: Path, tmp_path: Path
) -> None:
    """The held-out rows are the training rows: there is no floor, so no excess."""
    said = audit("--fail-if=excess>0.01", "--generate=none", heldout=place / "rows.jsonl")
    assert said.code == 2 and "'excess>0.01' cannot be decided" in said.sentence
    assert said.out.startswith("8 of 8 rows can be extracted")
    assert (tmp_path / "run" / "report.html").is_file()


# ------------------------------------------------------------------ disks


def test_a_folder_that_cannot_be_written_is_refused(audit: Any, tmp_path: Path) -> None:
    """A file stands where the folder should be: not even root can write there."""
    (tmp_path / "occupied").write_text("a file")
    refused(audit(out=tmp_path / "occupied" / "run"), "Cannot write to", "choose a folder of yours with --out")


def test_a_folder_with_other_things_in_it_is_refused(audit: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refused(audit(), "not empty and not a run", "name another --out")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 KiB; only root can make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk_loses_nothing_and_the_audit_goes_on_when_there_is_room(
    audit: Any, place: Path, small_disk: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"heldout": place / "held.jsonl", "base": place / "base", "out": small_disk / "run"}
    refused(audit(**options), "The disk that holds", "is full", "add --resume; what is measured is kept")
    kept = {p.relative_to(small_disk): p.read_bytes() for p in small_disk.rglob("*.parquet")}
    assert kept
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert audit("--resume", **options).out.startswith("8 of 8 rows")
    assert {name: (small_disk / name).read_bytes() for name in kept} == kept
