"""The objectives of unlearning as pure functions of losses, logits or hidden states, for forget and retain rows.

Sources:
- GA: Jang et al. 2023, "Knowledge Unlearning for Mitigating Privacy Risks in Language Models", arXiv 2210.01504
- NPO: Zhang et al. 2024, "Negative Preference Optimization", arXiv 2404.05868 (equation 3)
- SimNPO: Fan et al. 2024, "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning",
  arXiv 2410.07163
- WGA: Wang et al. 2025, "Rethinking LLM Unlearning Objectives", arXiv 2502.19301
- DPO: Rafailov et al. 2023, arXiv 2305.18290; UNDIAL: Dong et al. 2024, arXiv 2402.10052
- RMU: Li et al. 2024, "The WMDP Benchmark", arXiv 2403.03218
- the forms that they have in OpenUnlearning: Dorna et al. 2025, arXiv 2506.12618

Shapes: B rows, T tokens, V vocabulary, D hidden width. s = `nll_sum_B` is the SUM of -log p over a row's learned tokens
(nats), len = `num_tokens_B` how many there are; `_ref` is the model before unlearning. All are scalars to be minimised.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from remanence.training.rows import NO_LOSS

# ---------------------------------------------------------------- forget rows


def gradient_ascent(nll_sum_B: Tensor, num_tokens_B: Tensor) -> Tensor:
    """- mean over tokens of -log p. Unbounded below: there is no minimum."""
    return -nll(nll_sum_B, num_tokens_B)


def weighted_gradient_ascent(token_nll_BT: Tensor, learned_BT: Tensor, beta: float = 1.0) -> Tensor:
    """- mean over tokens of p^beta * -log p, the weight treated as a constant: unlikely tokens count less."""
    weight_BT = torch.exp(-beta * token_nll_BT.detach())
    return -(weight_BT * token_nll_BT * learned_BT).sum() / learned_BT.sum().clamp(min=1)


def npo_loss(nll_sum_B: Tensor, ref_nll_sum_B: Tensor, beta: float = 0.1) -> Tensor:
    """- (2 / beta) mean log sigmoid(beta (s - s_ref)): the gradient of a row vanishes far from the reference.

    The gradient is gradient ascent's, row by row, times 2 p^beta / (p^beta + p_ref^beta). As beta goes to 0 the loss
    becomes (2 / beta) log 2 - mean (s - s_ref).
    """
    return -(2 / beta) * F.logsigmoid(beta * (nll_sum_B - ref_nll_sum_B)).mean()


def simnpo_loss(nll_sum_B: Tensor, num_tokens_B: Tensor, beta: float = 4.5, delta: float = 0.0) -> Tensor:
    """- (2 / beta) mean log sigmoid(beta (s / len - delta)): NPO without a reference, on the MEAN loss of a row."""
    return -(2 / beta) * F.logsigmoid(beta * (nll_sum_B / num_tokens_B.clamp(min=1) - delta)).mean()


def dpo_loss(
    nll_sum_B: Tensor, ref_nll_sum_B: Tensor, idk_nll_sum_B: Tensor, ref_idk_nll_sum_B: Tensor, beta: float = 0.1
) -> Tensor:
    """- (2 / beta) mean log sigmoid(beta [(s_ref - s)(idk) - (s_ref - s)(x)]): a refusal preferred to the row x."""
    gain_B = (ref_idk_nll_sum_B - idk_nll_sum_B) - (ref_nll_sum_B - nll_sum_B)
    return -(2 / beta) * F.logsigmoid(beta * gain_B).mean()


def undial_loss(logits_BTV: Tensor, ref_logits_BTV: Tensor, labels_BT: Tensor, strength: float = 10.0) -> Tensor:
    """Cross-entropy to softmax(ref logits - strength at the label), mean over tokens: the reference's other choices.

    Logits and labels aligned; labels of -100 do not count.
    """
    learned_BT = labels_BT != NO_LOSS
    at = labels_BT.clamp(min=0).unsqueeze(-1)
    lowered_BTV = ref_logits_BTV.scatter_add(-1, at, torch.full_like(at, -strength, dtype=ref_logits_BTV.dtype))
    target_BTV = lowered_BTV.detach().softmax(-1)
    cross_BT = -(target_BTV * logits_BTV.log_softmax(-1)).sum(-1)
    return (cross_BT * learned_BT).sum() / learned_BT.sum().clamp(min=1)


def rmu_loss(acts_BTD: Tensor, control_D: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over tokens and width of (h - c u)^2: hidden states of one layer are moved to one fixed, random point.

    `control_D` is c u, with u a unit vector.
    """
    return embed_diff(acts_BTD, control_D.expand_as(acts_BTD), mask_BT)


# ---------------------------------------------------------------- retain rows


def nll(nll_sum_B: Tensor, num_tokens_B: Tensor) -> Tensor:
    """Mean over tokens of -log p (nats): plain training."""
    return nll_sum_B.sum() / num_tokens_B.sum().clamp(min=1)


def kl_to_ref(logits_BTV: Tensor, ref_logits_BTV: Tensor, learned_BT: Tensor) -> Tensor:
    """KL(ref || model), nats, mean over the tokens that carry loss; 0 with gradient 0 at the reference."""
    ref_BTV = ref_logits_BTV.detach().log_softmax(-1)
    kl_BT = (ref_BTV.exp() * (ref_BTV - logits_BTV.log_softmax(-1))).sum(-1)
    return (kl_BT * learned_BT).sum() / learned_BT.sum().clamp(min=1)


def embed_diff(acts_BTD: Tensor, ref_acts_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over tokens and width of (h - h_ref)^2."""
    squared_BT = (acts_BTD - ref_acts_BTD.detach()).square().mean(-1)
    return (squared_BT * mask_BT).sum() / mask_BT.sum().clamp(min=1)
