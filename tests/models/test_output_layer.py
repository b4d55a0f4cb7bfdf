"""The output layer in stretches gives what the layer and the reduction give one after the other."""

import numpy as np
import pytest
import torch
from torch import nn

from remanence.models.output_layer import POSITIONS, WORDS, is_plain, reduce_hidden
from remanence.models.reduce import reduce_logits

COLUMNS = ["logprob", "rank", "gap", "mean", "std"]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("positions", [1, 3, POSITIONS, 2 * POSITIONS + 5])
def test_in_stretches_as_in_one_product(bias: bool, threads: int, positions: int):
    torch.manual_seed(0)
    head = nn.Linear(8, 2 * WORDS + 3, bias=bias)
    hidden, target = torch.randn(positions, 8), torch.randint(0, 2 * WORDS + 3, (positions,))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            found = reduce_hidden(hidden, head, target, COLUMNS)
            plain = reduce_logits(head(hidden), target, COLUMNS)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (found["rank"] == plain["rank"]).all()
    for column in COLUMNS:
        np.testing.assert_allclose(found[column], plain[column], rtol=1e-5, atol=1e-5)


def test_only_a_bare_float32_layer_is_taken_apart():
    head = nn.Linear(2, 3)
    assert is_plain(head)
    assert not is_plain(nn.Sequential(head))
    assert not is_plain(nn.Linear(2, 3, dtype=torch.bfloat16))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_plain(head)
    hook = head.register_forward_hook(lambda *_: None)
    assert not is_plain(head)
    hook.remove()
    assert is_plain(head)
