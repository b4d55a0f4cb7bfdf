"""The verdict of a run as JUnit XML, which every CI server shows among its tests.

One test per rule: it passes, fails, or is an error if the quantity in the rule could not be measured. Statements for
which the run has too little data are listed as skipped, so that they do not look like a pass.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from remanence.core.errors import RemanenceError
from remanence.core.run import Run

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(run: Run) -> str:
    """The XML. Raises `RemanenceError` for a run without a verdict."""
    if not run.has("verdict.json"):
        raise RemanenceError(f"{run.folder.name} has no verdict: the run was not finished; add --resume.")
    verdict: dict[str, Any] = run.read_json("verdict.json")
    job = str(run.spec["job"])
    sentences = "\n".join(verdict["sentences"])
    suite = ET.Element("testsuite", name=_clean(f"remanence {job}"))
    gate = verdict.get("fail_if")
    if gate:
        case = _case(suite, job, f"--fail-if {gate['rule']}")
        if gate["failed"] is None:
            message = next((s for s in verdict["cannot_claim"] if "cannot be decided" in s), "It cannot be decided.")
            ET.SubElement(case, "error", message=_clean(message)).text = _clean(sentences)
        elif gate["failed"]:
            message = f"{gate['rule']} holds. {verdict['sentences'][0]}"
            ET.SubElement(case, "failure", message=_clean(message)).text = _clean(sentences)
    elif "reached" in verdict:
        guard = verdict["guard"]
        case = _case(suite, job, f"removes {guard['goal']:.0%} of the excess within {guard['limit']:.0%} of loss")
        if not verdict["reached"]:
            ET.SubElement(case, "failure", message=_clean(verdict["sentences"][0])).text = _clean(sentences)
    else:
        _case(suite, job, "finished")
    ET.SubElement(suite[0], "system-out").text = _clean(sentences)
    for number, sentence in enumerate(verdict.get("cannot_claim") or [], start=1):
        if "cannot be decided" not in sentence:
            ET.SubElement(_case(suite, job, f"cannot claim {number}"), "skipped", message=_clean(sentence))
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(list(suite.iter(tag)))))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def write_junit(run: Run, path: Path | str) -> None:
    """Write the XML to a file."""
    text = junit(run)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise RemanenceError(f"Cannot write JUnit XML to {path}: {error.strerror}.") from error


def _case(suite: ET.Element, job: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=f"remanence.{job}", name=_clean(name))


def _clean(text: str) -> str:
    """XML allows no other control characters, escaped or not."""
    return _NOT_XML.sub("\ufffd", text)
