"""The key file of canaries: their rows and secrets, the number of copies of each, and the controls.

A readable JSON file. It identifies the canaries, so it must be kept apart from the training data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from remanence.core.errors import RemanenceError
from remanence.core.read import records_from
from remanence.core.record import Record

SCHEMA = 1
Kind: TypeAlias = Literal["canary", "twin"]


@dataclass(frozen=True)
class Canary:
    """A made-up row with a secret; a control (kind "twin" in files) is one that is never planted."""

    id: str
    kind: Kind
    band: str
    loss: float
    """Nats per learned token under the base model."""
    secret: str
    """Stands at the end of the learned part."""
    secret_bits: float
    """How surprising the secret is to the base model behind what stands before it."""
    temperature: float | None
    """At which the base model wrote it; None = words of the rows."""
    row: Mapping[str, Any]
    """As it goes into the data, without an id."""
    copies: int = 0
    """How often it was planted; 0 before planting, and for every control."""


@dataclass(frozen=True)
class Key:
    """All canaries and controls, with all that is needed to read, audit and remove them."""

    form: str
    """text, pair or messages."""
    columns: Mapping[str, str]
    """Names of columns that are not called text, prompt, completion, messages, id."""
    made: Mapping[str, Any]
    """Settings, bands, model and data of `make`."""
    canaries: Sequence[Canary] = field(repr=False)
    planted: Mapping[str, Any] | None = None
    """Counts, seed, places and fingerprints of `plant`; None before."""

    def of(self, kind: Kind) -> list[Canary]:
        """The canaries, or the controls."""
        return [one for one in self.canaries if one.kind == kind]

    def records(self, kind: Kind) -> list[Record]:
        """The same as records, with the ids of the key."""
        return records_of(self.of(kind), self.columns)

    def text(self) -> str:
        """As JSON; the same key gives the same bytes."""
        head = {"schema": SCHEMA, "job": "canaries", "form": self.form, "columns": dict(self.columns)}
        whole = {
            **head,
            "made": dict(self.made),
            "planted": self.planted,
            "canaries": [asdict(c) for c in self.canaries],
        }
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"

    def summary(self) -> str:
        """A summary for people, without the text of any canary."""
        made, lines = self.made, ["band      loss per token   canaries   controls"]
        for band in made["bands"]:
            counts = [sum(one.band == band["name"] for one in self.of(kind)) for kind in ("canary", "twin")]
            lines.append(f"{band['name']:<10}{band['low']:>5.2f} to {band['high']:<5.2f}{counts[0]:>11}{counts[1]:>8}")
        bits = sorted(one.secret_bits for one in self.canaries)
        refused = ", ".join(f"{n:,} {why}" for why, n in sorted(made["refused"].items(), key=lambda x: -x[1])) or "none"
        return "\n".join(
            [
                f"Made {len(self.of('canary'))} canaries and {len(self.of('twin'))} controls from "
                f"{made['candidates']:,} candidates.",
                *lines,
                f"Secrets are worth {bits[len(bits) // 2]:.0f} bits to the base model (median; least {bits[0]:.0f}).",
                f"Rejected: {refused}.",
            ]
        )

    def with_copies(self, copies: Mapping[str, int], planted: Mapping[str, Any]) -> Key:
        """The key after planting: how often each canary stands in the data."""
        canaries = [replace(one, copies=copies.get(one.id, 0)) for one in self.canaries]
        return replace(self, canaries=canaries, planted=planted)

    @classmethod
    def read(cls, path: Path | str) -> Key:
        """Raises `RemanenceError` when the file is no key."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RemanenceError(f"Cannot read the key {path}: {error.strerror or error}.") from None
        except ValueError:
            content = None
        if not isinstance(content, dict) or content.get("job") != "canaries" or content.get("schema") != SCHEMA:
            raise RemanenceError(f"{path.name} is not a key of canaries: give the file that `canaries make` wrote.")
        canaries = [Canary(**one) for one in content["canaries"]]
        return cls(content["form"], content["columns"], content["made"], canaries, content["planted"])


def records_of(canaries: Sequence[Canary], columns: Mapping[str, str]) -> list[Record]:
    """The rows as records. `columns` as in `Key`."""
    named: dict[str, Any] = {f"{name}_column": column for name, column in columns.items() if name != "id"}
    if not canaries:
        return []
    read = records_from([{k: v for k, v in one.row.items() if k != "id"} for one in canaries], group="canary", **named)
    return [replace(record, id=one.id) for record, one in zip(read, canaries, strict=True)]


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet; raises `RemanenceError` when it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="") as handle:
            _ = handle.write(text)
    except FileExistsError:
        raise RemanenceError(f"{path} exists and is not overwritten: name another --out.") from None
    except OSError as error:
        raise RemanenceError(f"Cannot write {path}: {error.strerror or error}.") from None
