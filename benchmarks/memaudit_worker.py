"""Runs in memaudit's own environment: scores the rows it is sent, one line of JSON per request on stdin.

A request {"model": folder, "rows": [[ids, first scored], ...]} is answered by {"scores": ..., "seconds": ..., "cpu":
...}; memaudit's own entry points, with its defaults.
"""

import json
import sys
import time

import torch
from memaudit.scoring import extract_token_signals, scores_from_signals
from transformers import AutoModelForCausalLM

torch.set_num_threads(2)
torch.manual_seed(0)
loaded = {}
for line in sys.stdin:
    request = json.loads(line)
    folder = request["model"]
    if folder not in loaded:
        loaded = {folder: AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()}
    clock, cpu = time.perf_counter(), time.process_time()
    scores = []
    for ids, first in request["rows"]:
        signals = extract_token_signals(loaded[folder], ids, span=(first, len(ids)))
        scores.append(scores_from_signals(signals))
    took = {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
    print(json.dumps({"scores": scores, **took}), flush=True)
