"""From `api:MODEL@URL` to a target: what the server can do is found out first, with nothing of the user's text.

A base model may be a server too, or a folder on this machine that is asked like one, so that both sides are asked and
read in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.target import Target
from remanence.models.endpoint.client import Client
from remanence.models.endpoint.cutter import Cutter
from remanence.models.endpoint.endpoint import Endpoint, Gives, ScoringEndpoint, look
from remanence.models.endpoint.local import Here
from remanence.models.endpoint.settings import Address, EndpointSettings, is_address
from remanence.models.endpoint.tokens import Tokens
from remanence.models.endpoint.transcript import Transcript
from remanence.models.endpoint.words import Words
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_tokenizer
from remanence.models.render import Renderer
from remanence.models.settings import TargetSettings
from remanence.models.vocabulary import same_vocabulary
from remanence.models.weights import model_folder, title_of

Opens = Callable[[str | Path], HuggingFace]
"""A local model by folder or Hub name."""


def open_endpoints(
    model: str | Path | Target,
    base: str | Path | Target | None,
    settings: TargetSettings,
    asking: EndpointSettings,
    out: Path,
    form: str,
    opens: Opens,
) -> tuple[Target, Target | None]:
    """(tuned model, base model or None), of which one at least is named by its server.

    `form` of the rows decides which of the server's two doors is knocked at; `out` holds the transcript.
    """
    transcript = Transcript(out, asking.replay)
    tuned: Any = opens(model) if isinstance(model, str | Path) and not is_address(model) else model
    cutter = _cutter(tuned, settings, asking, form)
    if isinstance(model, str) and is_address(model):
        tuned = _endpoint(model, "tuned", cutter, asking, transcript, form)
    if isinstance(base, str) and is_address(base):
        return tuned, _endpoint(base, "base", cutter, asking, transcript, form)
    if isinstance(base, str | Path):
        return tuned, _beside(tuned, opens(base), cutter)
    return tuned, base


def _cutter(tuned: Any, settings: TargetSettings, asking: EndpointSettings, form: str) -> Cutter:
    """Words, or tokens where the tokenizer is at hand: named, or that of a tuned model on this machine."""
    if isinstance(tuned, HuggingFace):
        if form == "messages" or tuned.family == "seq2seq":
            raise RemanenceError(
                "A base model behind a server reads chats through its own template, and no encoder-decoder rows: "
                "serve the tuned model too, or name a folder with --base."
            )
        return Tokens(tuned.renderer, tuned.name)
    if asking.tokenizer is None:
        return Words(settings.loss_on, settings.max_length)
    folder = model_folder(asking.tokenizer) if not _has_tokenizer(asking.tokenizer) else Path(asking.tokenizer)
    name = title_of(asking.tokenizer)
    tokenizer = load_tokenizer(folder.expanduser(), name)
    renderer = Renderer(tokenizer, settings.loss_on, settings.max_length, settings.add_eos)
    return Tokens(renderer, name)


def _has_tokenizer(name: str) -> bool:
    return any((Path(name).expanduser() / file).is_file() for file in ("tokenizer.json", "tokenizer_config.json"))


def _endpoint(
    name: str, role: str, cutter: Cutter, asking: EndpointSettings, transcript: Transcript, form: str
) -> Endpoint:
    address = Address.parse(name)
    client = Client(address, role, asking, transcript)
    able = look(client, cutter, form)
    kind = ScoringEndpoint if able.scores and form != "messages" else Endpoint
    return kind(client, cutter, able, f"api:{address.title}", address.host)


def _beside(tuned: Any, base: HuggingFace, cutter: Cutter) -> Target:
    """A base model on this machine beside a tuned one on a server: scored where that is, asked where that is asked."""
    if not isinstance(cutter, Tokens):
        return Endpoint(Here(base), cutter, Gives(continues=True), base.name, "this machine")
    if not same_vocabulary(cutter.tokenizer, base.tokenizer):
        raise RemanenceError(
            f"The base model {base.name} has another vocabulary than the tokenizer {cutter.name}: name the model that "
            "the fine-tuning started from, or leave --base out."
        )
    if not isinstance(tuned, ScoringEndpoint):
        return Endpoint(Here(base), cutter, Gives(continues=True), base.name, "this machine")
    base.tokenizer, base.renderer = cutter.tokenizer, cutter.renderer
    return base
