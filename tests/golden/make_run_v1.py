"""Make the version-1 run folders beside this file, by the code of commit e3c4907 (`git worktree add ../old e3c4907`).

    cd ../old && PYTHONPATH=src python ../remanence/tests/golden/make_run_v1.py ../remanence/tests/golden WORK

The rows are the fictional casebook's; WORK keeps the model. The folders are read by `tests/jobs/test_golden_runs.py`,
and are not made again: they show that the present code reads what that commit wrote.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from remanence import audit
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import private_corpus, write_jsonl
from remanence.training.finetune import finetune

LEFT_OUT = shutil.ignore_patterns("report.html", "attempts", "matches", "found", "origins")
"""The report, and the shards that the tables of the same names were put together from."""


def main(out: Path, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    corpus = private_corpus(0, 40, (1, 4, 8), 14)
    model = work / "model"
    if not model.is_dir():
        finetune(
            base_folder(), corpus.train, model, epochs=10, learning_rate=2e-3, batch_size=8, max_length=512, seed=0
        )
    train = write_jsonl(corpus.train, work / "train.jsonl")
    heldout = write_jsonl(corpus.heldout, work / "heldout.jsonl")
    rows = train.read_text().splitlines()
    short = json.loads(rows[0]) | {"id": "short", "completion": " Yes."}
    train.write_text("\n".join([*rows, json.dumps(short)]) + "\n")
    held = heldout.read_text().splitlines()
    seen = json.loads(rows[0]) | {"id": "seen"}
    heldout.write_text("\n".join([*held, json.dumps(seen)]) + "\n")
    for name, stream in (("run-v1", False), ("run-v1-stream", True)):
        shutil.rmtree(work / name, ignore_errors=True)
        result = audit(
            model, train, heldout=heldout, base=base_folder(), out=work / name, stream=stream, worst=8, by=("task",),
            prefixes=(0, 4, 8), new_tokens=12, budgets=(6, 20), attempts=10, max_length=96, schemes=("T=1", "T=1,k=40"),
            shard_rows=24, reveal=True, show_progress=False,
        )  # fmt: skip
        print(result.verdict["sentences"])
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(work / name, out / name, ignore=LEFT_OUT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
