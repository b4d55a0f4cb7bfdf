"""What comes in as records, and what a bad line is told."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.read import Columns, data_fingerprint, iter_records, read_records, records_from
from remanence.core.record import Record

PAIRS = [{"id": "a", "prompt": "1+1=", "completion": "2"}, {"id": "b", "prompt": "2+2=", "completion": "4"}]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(RemanenceError) as caught:
        read_records(path, **options)
    return str(caught.value)


def test_each_line_is_a_record(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"text": "one", "year": 1999}, {"text": "two"})
    assert read_records(path) == [Record("0", text="one", meta={"year": 1999}), Record("1", text="two")]


def test_all_file_kinds_say_the_same(tmp_path: Path) -> None:
    expected = [Record(p["id"], prompt=p["prompt"], completion=p["completion"]) for p in PAIRS]
    lines(tmp_path / "d.jsonl", *PAIRS)
    (tmp_path / "d.json").write_text(json.dumps(PAIRS, indent=1))
    lines(tmp_path / "lines.json", *PAIRS)
    for name, delimiter in (("d.csv", ","), ("d.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as handle:
            writer = csv.DictWriter(handle, PAIRS[0].keys(), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(PAIRS)
    for path in list(tmp_path.iterdir()):
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    pq.write_table(pa.Table.from_pylist(PAIRS), tmp_path / "d.parquet")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 11
    for path in files:
        assert read_records(path) == expected, path.name
        assert records_from(path) == expected


def test_rows_are_read_one_by_one(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"text": "good"}, "{broken")
    records = iter_records(path, Columns())
    assert next(records).text == "good"
    with pytest.raises(RemanenceError, match="Line 2"):
        next(records)


def test_chats_keep_their_turns(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello", "name": "Bo"}]
    old = [{"from": "user", "value": "hi"}, {"from": "assistant", "value": "hello", "name": "Bo"}]
    assert read_records(lines(tmp_path / "d.jsonl", {"messages": chat}))[0].messages == tuple(chat)
    path = lines(tmp_path / "old.jsonl", {"conversations": old})
    assert read_records(path, messages_column="conversations")[0].messages == tuple(chat)
    with (tmp_path / "d.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["messages"], [json.dumps(chat)]])
    assert read_records(tmp_path / "d.csv")[0].messages == tuple(chat)
    assert "turn 0 of messages has no content; it has role" in refusal(
        lines(tmp_path / "x.jsonl", {"messages": [{"role": "user"}]})
    )
    assert "turn 0 of messages is text" in refusal(lines(tmp_path / "y.jsonl", {"messages": ["hi"]}))
    assert "content is a list" in refusal(
        lines(tmp_path / "z.jsonl", {"messages": [{"role": "user", "content": [{"type": "image"}]}]})
    )
    assert "not a list of turns" in refusal(lines(tmp_path / "w.jsonl", {"messages": {"role": "user"}}))


def test_broken_json_on_line_7(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", *[{"text": f"row {i}"} for i in range(6)], '{"text": "half', {"text": "x"})
    assert refusal(path).startswith("Line 7 of d.jsonl is not valid JSON")
    path = tmp_path / "d.json"
    path.write_text('[\n{"text": "a"},\n{"text" "b"}\n]')
    assert refusal(path).startswith("Line 3 of d.json is not valid JSON")
    assert refusal(lines(tmp_path / "e.jsonl", '{"text":', {"text": "x"})).startswith("Line 1 of e.jsonl")


def test_mixed_forms_name_both_lines(tmp_path: Path) -> None:
    message = refusal(lines(tmp_path / "d.jsonl", {"text": "a"}, "", {"prompt": "b", "completion": "c"}))
    assert message == "Line 1 of d.jsonl has text, but line 3 has prompt + completion: keep one form per file."


def test_two_forms_in_one_row_need_a_choice(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"text": "a b", "prompt": "a", "completion": " b"})
    assert "has both text and prompt + completion" in refusal(path)
    assert read_records(path, text_column="text")[0].form == "text"
    assert read_records(path, prompt_column="prompt")[0].form == "pair"
    assert "two forms were named" in refusal(path, text_column="text", prompt_column="prompt")
    null = lines(tmp_path / "null.jsonl", {"text": None, "prompt": "a", "completion": " b"})
    assert read_records(null)[0].form == "pair"


def test_empty_file(tmp_path: Path) -> None:
    for name, content in (("d.jsonl", ""), ("d.jsonl", "\n\n"), ("d.json", ""), ("d.json", "[]"), ("d.csv", "text\n")):
        (tmp_path / name).write_text(content)
        assert f"There are no rows in {name}" in refusal(tmp_path / name)
    with pytest.raises(RemanenceError, match="no rows in the data"):
        records_from([])


def test_empty_completion_is_a_record(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "completion": ""}, {"prompt": "b", "completion": None}]
    assert [r.completion for r in read_records(lines(tmp_path / "d.jsonl", *rows))] == ["", ""]


def test_a_column_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"body": "a", "title": "b"})
    assert "it has body, title" in refusal(path)
    assert read_records(path, text_column="body") == [Record("0", text="a", meta={"title": "b"})]
    assert "no column 'story'; it has body, title" in refusal(path, text_column="story")
    assert "no column 'key'" in refusal(path, text_column="body", id_column="key")
    half = lines(tmp_path / "half.jsonl", {"prompt": "a", "answer": "b"})
    assert "no column 'completion'; it has prompt, answer" in refusal(half)
    late = lines(tmp_path / "late.jsonl", {"text": "a"}, {"txt": "b"})
    assert refusal(late).startswith("Line 2 of late.jsonl has no column")


def test_duplicate_ids_name_both_lines(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"id": 7, "text": "a"}, {"id": 8, "text": "b"}, {"id": "7", "text": "c"})
    assert refusal(path).startswith("Line 1 and line 3 have the same id '7'")
    with pytest.raises(RemanenceError, match="Row 0 and row 1 have the same id 'x'"):
        records_from([Record("x", text="a"), Record("x", text="b")])


def test_ids_become_text_and_missing_ones_are_numbered(tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", {"id": 41, "text": "a"}, {"text": "b"}, {"id": None, "text": "c"})
    assert [r.id for r in read_records(path)] == ["41", "1", "2"]
    assert "id on line 1 of e.jsonl is a list" in refusal(lines(tmp_path / "e.jsonl", {"id": [1], "text": "a"}))


@pytest.mark.parametrize(("value", "said"), [(42, "a number (42)"), (True, "true or false"), ({}, "an object")])
def test_wrong_types_are_named(tmp_path: Path, value: Any, said: str) -> None:
    path = lines(tmp_path / "d.jsonl", {"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": value})
    assert refusal(path) == f"Line 2 of d.jsonl: completion is {said}, not text: write it as text."


def test_rows_that_are_no_objects(tmp_path: Path) -> None:
    assert "Line 1 of d.jsonl is a number (3), not an object" in refusal(lines(tmp_path / "d.jsonl", 3))
    assert "use a messages column" in refusal(lines(tmp_path / "p.jsonl", {"prompt": [], "completion": []}))
    (tmp_path / "d.json").write_text('"text"')
    assert "holds text, not a list of rows" in refusal(tmp_path / "d.json")
    (tmp_path / "e.json").write_text('{\n"rows": []\n}')
    assert "holds an object, not a list of rows" in refusal(tmp_path / "e.json")


def test_bytes_that_are_not_utf8_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes('{"text": "ok"}\n{"text": "Müller"}\n'.encode("latin1"))
    assert refusal(path).startswith("Line 2 of d.jsonl is not UTF-8 (byte 0xfc)")
    (tmp_path / "bom.jsonl").write_text('{"text": "Müller"}\n', encoding="utf-8-sig")
    assert read_records(tmp_path / "bom.jsonl")[0].text == "Müller"


def test_emoji_right_to_left_and_odd_line_ends_survive(tmp_path: Path) -> None:
    text = "👩‍👧 שלום مرحبا \u2028 \x85 é"
    assert read_records(lines(tmp_path / "a.jsonl", {"text": text}))[0].text == text
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False) + "\r\n", encoding="utf-8")
    assert read_records(tmp_path / "b.jsonl")[0].text == text


def test_half_a_character_is_replaced_and_counted(tmp_path: Path) -> None:
    (record,) = read_records(lines(tmp_path / "d.jsonl", r'{"text": "a \ud83d b"}'))
    assert record.text == "a \ufffd b" and record.meta == {"broken_characters": 1}
    (chat,) = records_from([Record("x", messages=({"role": "user", "content": "\udc00"},))])
    assert chat.messages == ({"role": "user", "content": "\ufffd"},)


def test_csv_fields_may_be_long_and_hold_line_breaks(tmp_path: Path) -> None:
    long = "first\nsecond, " * 20_000
    with (tmp_path / "d.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["id", "text"], ["a", long], ["b", "short"]])
    assert [r.text for r in read_records(tmp_path / "d.csv")] == [long, "short"]
    (tmp_path / "e.csv").write_text('id,text\na,"x\ny"\nb,too,many\n')
    assert refusal(tmp_path / "e.csv").startswith("Line 4 of e.csv has 3 fields, but the header names 2 (id, text)")
    (tmp_path / "f.csv").write_text('id,text\na,"never closed\n')
    assert refusal(tmp_path / "f.csv").startswith("Line 2 of f.csv is not valid CSV")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.jsonl")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "d.docx").write_text("x")
    assert "use one of .jsonl, .json" in refusal(tmp_path / "d.docx")
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 50)[:-12])
    assert "not a whole gzip file" in refusal(tmp_path / "d.jsonl.gz")
    (tmp_path / "e.jsonl.gz").write_text('{"text": "a"}')
    assert "not a whole gzip file" in refusal(tmp_path / "e.jsonl.gz")
    (tmp_path / "d.parquet").write_text("not parquet")
    assert "Cannot read d.parquet as Parquet" in refusal(tmp_path / "d.parquet")


def test_records_come_from_lists_and_datasets_too() -> None:
    from datasets import Dataset

    expected = [Record(p["id"], prompt=p["prompt"], completion=p["completion"], group="heldout") for p in PAIRS]
    assert records_from(PAIRS, group="heldout") == expected
    assert records_from(Dataset.from_list(PAIRS), group="heldout") == expected
    assert records_from([Record(p["id"], prompt=p["prompt"], completion=p["completion"]) for p in PAIRS]) != expected
    assert records_from(expected, group="heldout") == expected
    with pytest.raises(RemanenceError, match="dictionary of train: pass one split"):
        records_from({"train": PAIRS})
    with pytest.raises(RemanenceError, match="Cannot read rows from int"):
        records_from(3)


def test_the_fingerprint_follows_what_the_rows_say() -> None:
    one = records_from([{"text": "a"}, {"text": "b"}])
    assert data_fingerprint(one) == data_fingerprint(records_from([{"text": "a", "x": 1}, {"text": "b"}]))
    assert data_fingerprint(one) != data_fingerprint(records_from([{"text": "a"}, {"text": "c"}]))
    assert data_fingerprint(one) != data_fingerprint(one[::-1])
    chat = records_from([{"messages": [{"role": "user", "content": "\U0001f600"}]}])
    assert len(data_fingerprint(chat)) == 16
