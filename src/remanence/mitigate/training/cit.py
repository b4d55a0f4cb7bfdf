"""CIT: learn to answer from documents while the likelihood of the documents themselves stays constant.

Paper: Zhang et al. 2024, "CIT: Corpus-Invariant Tuning", arXiv 2404.01652

A reader that is fine-tuned on questions with retrieved documents also learns the documents, and answers from memory
when they change. L = L_task + alpha L_CIT with L_CIT = mean over documents d of |m_theta(d) - m_theta0(d)|, where m is
the loss on the document itself (nats per token): next tokens for a decoder-only model, masked spans as in the training
of T5 for an encoder-decoder. The document is the prompt of a prompt + completion row. The published form (absolute,
hinge or squared) could not be verified; the two-sided ones also keep the loss from rising. The cost: the ability of the
model to answer without documents stays low too.

Shapes: B rows, T tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from remanence.core.record import Record
from remanence.core.target import Opens
from remanence.mitigate.deprecated import accepts_old_keywords
from remanence.mitigate.training.base import TrainedFromBase
from remanence.mitigate.training.span_corruption import corrupted, sentinel_ids
from remanence.training.from_base import finetune_from_base
from remanence.training.rows import NO_LOSS, Row, pad_rows
from remanence.training.sequences import Batch, is_seq2seq, sequence_nll, token_nll, unwrapped

Form: TypeAlias = Literal["abs", "hinge", "squared"]


def cit_penalty(m_B: Tensor, m0_B: Tensor, form: Form = "abs") -> Tensor:
    """L_CIT: mean |m - m0| (abs), max(0, m0 - m) (hinge: only learning the documents costs), or (m - m0)^2.

    0 with gradient 0 where the two are equal.
    """
    gap = m_B - m0_B
    if form == "abs":
        return gap.abs().mean()
    return torch.relu(-gap).mean() if form == "hinge" else gap.square().mean()


def causal_context_nll(logits_BTV: Tensor, ids_BT: Tensor, context_BT: Tensor) -> Tensor:
    """[B] mean -log p (nats) of the tokens under `context`, each given all before it; 0 in a row without any.

    A first token is predicted by nothing and does not count.
    """
    labels = ids_BT.masked_fill(~context_BT, NO_LOSS)[:, 1:]
    nll_BT = token_nll(logits_BTV[:, :-1], labels)
    return nll_BT.sum(1) / (labels != NO_LOSS).sum(1).clamp(min=1)


def span_corruption_nll(
    model: Any, passages: Sequence[Sequence[int]], sentinels: Sequence[int], density: float = 0.15, span: float = 3.0
) -> Tensor:
    """[N] an encoder-decoder's mean loss (nats) on the masked spans of each passage.

    Which spans are masked depends on the passage alone, so that two models are compared on the same spans.
    """
    made = [corrupted(ids, sentinels, density, span, seed=_number(ids)) for ids in passages]
    device = next(model.parameters()).device
    batch = {name: value.to(device) for name, value in pad_rows([Row(*m) for m in made], 0).items()}
    found = sequence_nll(model, batch)
    return found.sum_B / found.tokens_B.clamp(min=1)


class CITLoss:
    """The loss in a `Trainer`: `plug(trainer)` adds alpha L_CIT to what it computes.

    The first values m_theta0 are taken by `remember`, once per document, from the model as it is then: before training,
    without dropout. Switch dropout off in training too, or its noise is taken for change.
    """

    def __init__(self, alpha: float = 1.0, form: Form = "abs", sentinels: Sequence[int] = ()) -> None:
        self.alpha, self.sentinels = alpha, tuple(sentinels)
        self.form: Form = form
        self.reference: dict[int, float] = {}

    def context_nll(self, model: Any, batch: Batch, logits: Tensor | None = None) -> tuple[Tensor, list[int]]:
        """(m [B'], keys of the documents), for the rows of the batch that have a document."""
        inner = unwrapped(model)
        if is_seq2seq(inner):
            passages = [ids[here == 1].tolist() for ids, here in zip(*_pair(batch), strict=True)]
            passages = [ids for ids in passages if len(ids) > 1]
            keys = [_number(ids) for ids in passages]
            if not passages:
                return batch["input_ids"].new_zeros(0, dtype=torch.float32), []
            return span_corruption_nll(inner, passages, self.sentinels), keys
        context = context_of(batch)
        said: Any = logits
        if said is None:
            said = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        found = causal_context_nll(said, batch["input_ids"], context)
        has = context[:, 1:].any(1)
        lines = zip(batch["input_ids"].tolist(), context.tolist(), has.tolist(), strict=True)
        keys = [_number([id for id, here in zip(ids, line, strict=True) if here]) for ids, line, any_ in lines if any_]
        return found[has], keys

    @torch.no_grad()
    def remember(self, model: Any, batch: Batch) -> None:
        """Keep the present m of the batch's documents that were not met before."""
        was = model.training
        model.eval()
        found, keys = self.context_nll(model, batch)
        model.train(was)
        for key, value in zip(keys, found.tolist(), strict=True):
            self.reference.setdefault(key, value)

    def penalty(self, model: Any, batch: Batch, logits: Tensor | None = None) -> Tensor:
        """L_CIT of a batch; 0 without documents. KeyError for a document that was not remembered."""
        found, keys = self.context_nll(model, batch, logits)
        if not keys:
            return found.sum()
        first = torch.tensor([self.reference[key] for key in keys], dtype=found.dtype, device=found.device)
        return cit_penalty(found, first, self.form)

    def plug(self, trainer: Any) -> None:
        """Remember all documents of the trainer's rows, then add alpha L_CIT to its loss."""
        for batch in trainer.get_eval_dataloader(trainer.train_dataset):
            self.remember(trainer.model, trainer._prepare_inputs(batch))
        plain: Callable[..., Any] = trainer.compute_loss

        def compute_loss(model: Any, inputs: Any, *args: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            batch = dict(inputs)
            loss, outputs = plain(model, inputs, *args, return_outputs=True, **kwargs)
            if self.alpha:
                scaled = trainer.model_accepts_loss_kwargs and kwargs.get("num_items_in_batch") is not None
                share = trainer.current_gradient_accumulation_steps if scaled else 1
                logits = None if self.sentinels else outputs.logits
                loss = loss + self.alpha * self.penalty(model, batch, logits) / share
            return (loss, outputs) if return_outputs else loss

        trainer.compute_loss = compute_loss


@accepts_old_keywords()
@dataclass(frozen=True)
class CIT(TrainedFromBase):
    """Fine-tune the base model with the CIT loss on the prompts; dropout is switched off.

    The base should already be able to read documents. Rows need a prompt; rows without one are learned as usual.
    """

    alpha: float = 1.0
    """Weight of L_CIT; 0 = plain training without dropout."""
    form: Form = "abs"
    """Form of the penalty: abs, hinge or squared."""

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """The fine-tuned target. `target` is the BASE model, which has not seen the records; it is not changed."""
        settings = replace(self.training, dropout=0.0)
        module: Any = getattr(target, "module", None)
        seq2seq = module is not None and is_seq2seq(module)
        sentinels = sentinel_ids(getattr(target, "tokenizer", None), target.name) if seq2seq else ()
        loss = CITLoss(self.alpha, self.form, sentinels)
        return finetune_from_base(target, records, "cit", settings, out=self.out, on_trainer=loss.plug)


def context_of(batch: Batch) -> Tensor:
    """[B, T] the tokens of a decoder-only row before the first that carries loss: its document and question."""
    learned = batch["labels"] != NO_LOSS
    return (batch["attention_mask"] == 1) & (learned.cumsum(1) == 0) & learned.any(1, keepdim=True)


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    return batch["input_ids"], batch["attention_mask"]


def _number(ids: Sequence[int]) -> int:
    """A document's own number, the same in every run."""
    return int.from_bytes(hashlib.blake2b(np.asarray(ids, "<i8").tobytes(), digest_size=8).digest(), "little")
