"""One torch thread: two on shared cores wait for each other."""

import torch

torch.set_num_threads(1)
