"""The audit inside the Trainer: a fixed set of rows, looked at while the model learns, in seconds a look.

For transformers' `Trainer` and `Seq2SeqTrainer` and TRL's `SFTTrainer`: `callbacks=[AuditCallback(heldout=rows)]`.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from remanence.core.errors import RemanenceError
from remanence.core.run import fingerprint
from remanence.engine.gates import holds, read_rule
from remanence.jobs.preflight.preflight import preflight, renderer_of
from remanence.jobs.preflight.result import Preflight
from remanence.jobs.preflight.sequences import collated_sequences
from remanence.jobs.trainer.base import facts_of_base
from remanence.jobs.trainer.best import keep, put_back
from remanence.jobs.trainer.cost import afterwards, in_advance, planned_looks, share_by_tokens
from remanence.jobs.trainer.curve import best_of, read_curve, write_curve
from remanence.jobs.trainer.look import Facts, Look, facts_table, look_of, read_facts
from remanence.jobs.trainer.probe import Probe, drawn, named, refuse_unmeasurable, sampled
from remanence.jobs.trainer.settings import LookSettings
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.huggingface import HuggingFace
from remanence.training.ranks import from_first_process, rank, sharding, sum_over_processes, world_size
from remanence.training.reference import preserve_training_state
from remanence.training.sequences import is_seq2seq

LEAST_BATCH = 256
"""Padded tokens per forward pass below which a look that does not fit into memory is given up."""


WORDS = {"probe": "probe", "heldout": "held-out", "canaries": "canary"}
"""Groups of rows, as sentences call them."""


class AuditCallback(TrainerCallback):
    """Evaluates probe rows before the first step, after every epoch or N steps, and after the last.

    Every evaluation logs the share of probe rows that are extracted, with count and interval, the same for held-out
    rows, the excess, the losses, and the AUC of the loss between the two groups. It goes to the trainer's log as
    `audit_...` and into `audit-curve.jsonl` in its `output_dir`. Training itself is not changed: the weights are those
    without the callback.
    """

    def __init__(
        self,
        probe: Any = None,
        heldout: Any = None,
        *,
        canaries: Any = None,
        trainer: Any = None,
        show: bool = True,
        **settings: Any,
    ) -> None:
        """`probe`: training rows to look at, as a path, a list or a data set; default, a sample of what is trained on.

        `heldout`: rows that are not trained on; default, the trainer's `eval_dataset`, if it has one. `canaries`: a
        third group. `trainer`: found by itself where the callback is given to one. `show`: sentences on stderr.
        `settings`: the fields of `LookSettings`. Raises `RemanenceError` on bad input, before the first step.
        """
        self.settings = LookSettings(**settings)
        self.given = {"probe": probe, "heldout": heldout, "canaries": canaries}
        self.trainer, self.show = trainer, show
        self.curve: list[Look] = []
        """All looks, in order."""
        self.best: Look | None = None
        """The look whose weights were kept, with `keep_best`."""
        self.preflight: Preflight | None = None
        self.why = "Training went to its end."
        self._groups: dict[str, Probe] = {}
        self._target: HuggingFace | None = None
        self._start, self._began, self._spent, self._spent_before = "", 0.0, 0.0, 0.0
        self._taken, self._off = 0, False

    # ------------------------------------------------------------------ events

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Pre-flight, the rows, the first look and what the others will cost."""
        self.trainer = calling_trainer() or self.trainer
        if self.trainer is None:
            raise RemanenceError("AuditCallback does not see its trainer: pass it as AuditCallback(trainer=trainer).")
        loader = kwargs["train_dataloader"]
        how = sharding(model)
        self._off = how is not None
        if self._off:
            self._say(
                f"The model's weights are spread over processes ({how}), and a look needs them whole, so none is taken "
                "while it trains: audit the saved model with `remanence audit`."
            )
            return
        if self.settings.preflight and rank() == 0:
            self.preflight = self._preflight(loader)
        self._groups = self._rows(loader, is_seq2seq(model))
        self._check_rules("heldout" in self._groups)
        self._target = self._made(args, model)
        resumed = state.global_step > 0 and rank() == 0
        self.curve = from_first_process(
            read_curve(Path(args.output_dir), state.global_step, self._fingerprint) if resumed else []
        )
        self.best, self.why, self._start = None, "Training went to its end.", ""
        self._spent, self._taken = 0.0, 0
        self._warm_up(model)
        if self.settings.base == "disabled":
            self._start = facts_of_base(self._target, model, self._groups["probe"], self._measure).verdicts
        elif self.curve:
            self._start = self.curve[0].rows
        if self.settings.keep_best is not None:
            self.best = best_of(self.curve, self.settings.keep_best)
        if not self.curve or self.curve[-1].step < state.global_step:
            self._look(args, state, control, model)
        refuse_unmeasurable(self._groups["probe"], self.curve[-1].n, self.settings.new_tokens)
        self._check_decidable()
        self._tell_cost(args, state)
        self._began = time.perf_counter()
        self._spent_before = self._spent

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """A look after every N steps, and after the last."""
        every = self.settings.every
        if self._off or every == "epoch":
            return
        last = state.global_step >= state.max_steps or control.should_training_stop
        if last or state.global_step % int(every) == 0:
            self._judge(args, state, control, model)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """A look after every epoch, the last and unfinished one among them."""
        if not self._off and self.settings.every == "epoch":
            self._judge(args, state, control, model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The best weights, if they are to be restored, and the true cost."""
        if self._off:
            return
        during = self._spent - self._spent_before
        self._say(afterwards(self._taken, self._spent, time.perf_counter() - self._began - during))
        if self.settings.load_best and self.best is not None:
            put_back(model, Path(args.output_dir))
            self._say(f"The weights of step {self.best.step} are back: {self.best.text()}.")

    # ------------------------------------------------------------------- looks

    @property
    def overhead(self) -> float:
        """Seconds of all looks over seconds of training without them; of the last or the running training."""
        training = time.perf_counter() - self._began - (self._spent - self._spent_before)
        return self._spent / training

    @property
    def _measure(self) -> Discoverable:
        return Discoverable(self.settings.prefixes, self.settings.new_tokens)

    @property
    def _fingerprint(self) -> str:
        return fingerprint(*(f"{k}{p.fingerprint}".encode() for k, p in sorted(self._groups.items())))

    def _judge(self, args: Any, state: Any, control: Any, model: Any) -> None:
        """A look, and what follows from it."""
        if self.curve and self.curve[-1].step == state.global_step:
            return
        look = self._look(args, state, control, model)
        rule = self.settings.stop_if
        value = None if rule is None else look.value(read_rule(rule)[0])
        if rule is not None and value is not None and holds(rule, value):
            self.why = f"Stopped at step {look.step}, because {rule}: it is {value:.3g}."
            self._say(self.why)
            control.should_training_stop = True

    def _look(self, args: Any, state: Any, control: Any, model: Any) -> Look:
        began = time.perf_counter()
        with preserve_training_state(model):
            facts = self._facts(model)
        seconds = time.perf_counter() - began
        self._start = self._start or facts["probe"].verdicts
        seconds = float(sum_over_processes(np.array([seconds if rank() == 0 else 0.0]), self._device(model))[0])
        epoch = float(state.epoch or 0.0)
        heldout, canaries = facts.get("heldout"), facts.get("canaries")
        look = look_of(state.global_step, epoch, seconds, facts["probe"], heldout, canaries, self._start)
        self.curve.append(look)
        self._spent += seconds
        self._taken += 1
        self._say(look.text())
        if rank() == 0:
            write_curve(Path(args.output_dir), self.curve, self._fingerprint)
        self._log(look, state, control, model)
        if self.settings.keep_best is not None:
            best = best_of(self.curve, self.settings.keep_best)
            if best is look:
                if rank() == 0:
                    keep(model, getattr(self.trainer, "processing_class", None), Path(args.output_dir))
                self.best = look
        return look

    def _facts(self, model: Any) -> dict[str, Facts]:
        """Every group's facts; rows are shared out over the processes, batches halved where memory runs out."""
        assert self._target is not None
        self._target.module = model
        sizes = [len(probe.rows) for probe in self._groups.values()]
        while True:
            table, failed = np.zeros((1 + sum(sizes), 4)), None
            try:
                table[1:] = np.concatenate(
                    [
                        facts_table(self._target, p.rows, self._measure, rank(), world_size())
                        for p in self._groups.values()
                    ]
                )
            except Exception as error:  # one process that fails must not leave the others waiting for its figures
                failed = error
                table[0, int(isinstance(error, torch.OutOfMemoryError))] = 1.0
            table = sum_over_processes(table, self._device(model))
            errors, full = table[0, :2] > 0
            if full and not errors and self._target.batch_tokens > LEAST_BATCH:
                self._target.batch_tokens //= 2
            elif full or errors:
                raise failed or RemanenceError("A look failed in another process: see the error that it printed.")
            else:
                break
        ends = np.cumsum(sizes)[:-1]
        return {name: read_facts(part) for name, part in zip(self._groups, np.split(table[1:], ends), strict=True)}

    def _log(self, look: Look, state: Any, control: Any, model: Any) -> None:
        """Through `trainer.log`, so that its history and every reporting callback have it; the trainer's own log stays.

        TRL adds the averages since its last log to what is logged while the model is in training mode, and forgets
        them; so the model is in eval mode for the moment.
        """
        flags = {name: getattr(control, name) for name in ("should_log", "should_evaluate", "should_save")}
        with preserve_training_state(model):
            self.trainer.log(look.logs())
        for name, flag in flags.items():
            setattr(control, name, flag)

    # -------------------------------------------------------------------- rows

    def _rows(self, loader: Any, seq2seq: bool) -> dict[str, Probe]:
        s, groups = self.settings, dict[str, Probe]()
        groups["probe"] = (
            drawn(self._fed(loader, seq2seq), s.sample, s.seed)
            if self.given["probe"] is None
            else self._named("probe", None)
        )
        if self.given["heldout"] is not None:
            groups["heldout"] = self._named("heldout", s.sample)
        elif getattr(self.trainer, "eval_dataset", None) is not None:
            if isinstance(self.trainer.eval_dataset, Mapping):
                raise RemanenceError(
                    "The trainer has several eval data sets: name the rows, AuditCallback(heldout=...)."
                )
            with preserve_training_state():
                groups["heldout"] = drawn(
                    collated_sequences(self.trainer.get_eval_dataloader(), seq2seq), s.sample, s.seed
                )
        if self.given["canaries"] is not None:
            groups["canaries"] = self._named("canaries", None)
        return groups

    def _fed(self, loader: Any, seq2seq: bool) -> Any:
        with preserve_training_state():
            return list(collated_sequences(loader, seq2seq, seed=self.settings.seed))

    def _named(self, group: str, count: int | None) -> Probe:
        records = sampled(self.given[group], count, self.settings.seed)
        renderer = renderer_of(self.trainer, self.settings.loss_on, records[0].form, self.settings.max_length)
        return named(records, renderer)

    def _check_rules(self, with_heldout: bool) -> None:
        s = self.settings
        name = read_rule(s.stop_if)[0] if s.stop_if is not None else ""
        if not with_heldout and (name.startswith(("excess", "auc")) or s.keep_best is not None):
            what = "keep_best" if s.keep_best is not None else f"stop_if={s.stop_if!r}"
            raise RemanenceError(f"{what} needs rows that are not trained on: AuditCallback(heldout=rows).")

    def _check_decidable(self) -> None:
        """Refuse a rule that speaks of what the first look could not measure."""
        s, first = self.settings, self.curve[-1]
        names = [read_rule(s.stop_if)[0]] if s.stop_if is not None else []
        names += ["excess", "heldout_loss"] if s.keep_best is not None else []
        missing = [name for name in names if first.value(name) is None]
        if missing:
            raise RemanenceError(
                f"{missing[0]} cannot be measured, because no held-out row has {s.new_tokens} tokens in a row that "
                "carry loss: give longer held-out rows, or a smaller new_tokens."
            )

    # ------------------------------------------------------------------- model

    def _made(self, args: Any, model: Any) -> HuggingFace:
        with preserve_training_state(model):
            return HuggingFace(
                module=model,
                tokenizer=_NoText(getattr(self.trainer, "processing_class", None)),
                renderer=None,
                name=type(model).__name__,
                fingerprint="live",
                family="seq2seq" if is_seq2seq(model) else "causal",
                dtype=torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32,
                batch_tokens=self.settings.batch_tokens,
            )

    def _warm_up(self, model: Any) -> None:
        """One row, so that what is done once (compiling, choosing the way through the model) is not timed."""
        assert self._target is not None
        with preserve_training_state(model):
            _ = facts_table(self._target, self._groups["probe"].rows[:1], self._measure)

    def _device(self, model: Any) -> torch.device:
        return next(model.parameters()).device

    def _preflight(self, loader: Any) -> Preflight:
        s = self.settings
        found = preflight(
            self.trainer, secrets=s.secrets, loss_on=s.loss_on, max_length=s.max_length, seed=s.seed, loader=loader
        )
        for warning in found.warnings:
            self._say(f"pre-flight: {warning}")
        return found

    # -------------------------------------------------------------------- words

    def _tell_cost(self, args: Any, state: Any) -> None:
        looks = planned_looks(
            self.settings.every, args.num_train_epochs, state.max_steps, state.global_step, float(state.epoch or 0)
        )
        share = float("nan")
        if self.preflight is not None and self.preflight.num_sequences:
            per_sequence = self.preflight.tokens / max(1, self.preflight.sequences)
            per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size * per_sequence
            left = min(per_step * state.max_steps, per_sequence * self.preflight.num_sequences * args.num_train_epochs)
            tokens = sum(probe.tokens for probe in self._groups.values())
            share = share_by_tokens(tokens, looks + 1, left if args.max_steps <= 0 else per_step * state.max_steps)
        rows = " and ".join(f"{len(p.rows)} {WORDS[name]} rows" for name, p in self._groups.items())
        self._say(in_advance(self.curve[-1].seconds, rows, looks, share))

    def _say(self, sentence: str) -> None:
        if self.show and rank() == 0:
            print(f"remanence: {sentence}", file=sys.stderr)


class _NoText:
    """What a pass asks of a tokenizer, without text: a look needs numbers only."""

    def __init__(self, tokenizer: Any) -> None:
        self.pad_token_id = getattr(tokenizer, "pad_token_id", None)
        self.eos_token_id = getattr(tokenizer, "eos_token_id", None)

    def decode(self, *args: Any, **kwargs: Any) -> str:
        return ""


def calling_trainer() -> Any:
    """The Trainer that is calling one of its callbacks right now, or None.

    A callback is told everything but its trainer, and only a trainer can log; so it is looked for among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = cast("Any", frame.f_locals.get("self"))
        if isinstance(caller, Trainer):
            return caller
        frame = frame.f_back
    return None
