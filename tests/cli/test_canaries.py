"""`remanence canaries`: from rows to an audit and back, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memorizers import LEARNED, UNSEEN


def rows(path: Path) -> Path:
    told = [{"id": r.id, "prompt": r.prompt, "completion": r.completion} for r in (*LEARNED, *UNSEEN)]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return path


def test_from_rows_to_an_audit_and_back(remanence: Any, place: Path, tmp_path: Path) -> None:
    data, made, planted = rows(tmp_path / "rows.jsonl"), tmp_path / "made.json", tmp_path / "planted.jsonl"
    size = ("--canaries=4", "--controls=16", "--bands=typical", "--text-source=rows", "--secret=digits", "--digits=1")
    said = remanence("canaries", "make", f"--model={place / 'base'}", f"--data={data}", f"--out={made}", *size)
    assert said.code == 0, said.err
    assert "Made 4 canaries and 16 controls" in said.out and "next: remanence canaries plant" in said.err
    said = remanence("canaries", "plant", f"--data={data}", f"--canaries={made}", "--copies=1,2", f"--out={planted}")
    assert said.code == 0 and "Planted 6 rows among 16 (27.3 % of planted.jsonl)." in said.out
    key, run = tmp_path / "planted.key.json", tmp_path / "run"
    asked = [
        "canaries",
        "audit",
        f"--model={place / 'base'}",
        f"--key={key}",
        f"--base={place / 'base'}",
        f"--out={run}",
    ]
    said = remanence(*asked)
    assert said.code == 0, said.err
    assert "have a mean exposure of" in said.out and "counted" in said.out and str(run / "report.html") in said.err
    assert (run / "report.html").is_file() and json.loads(key.read_text())["canaries"][0]["secret"].isdigit()
    told = json.loads(remanence(*asked, "--resume", "--format=json").out)
    assert [line["copies"] for line in told["headline"]] == [0, 1, 2]
    assert remanence("report", run).code == 0
    said = remanence("canaries", "remove", f"--data={planted}", f"--key={key}", f"--out={tmp_path / 'back.jsonl'}")
    assert "Removed 6 of 6 planted rows; back.jsonl is the data as it was before planting." in said.out
    assert (tmp_path / "back.jsonl").read_bytes() == data.read_bytes()


def test_misuse_ends_with_one_sentence_and_exit_code_2(remanence: Any, tmp_path: Path) -> None:
    data = rows(tmp_path / "rows.jsonl")
    said = remanence("canaries", "plant", f"--data={data}", f"--canaries={data}", f"--out={tmp_path / 'x.jsonl'}")
    assert (
        said.code == 2
        and said.sentence == "remanence: rows.jsonl is not a key of canaries: give the file that `canaries make` wrote."
    )
    said = remanence("canaries", "make", "--model=none", f"--data={data}", "--secret=colours")
    assert said.code == 2 and "--secret is one of words, digits, got 'colours'." in said.sentence
