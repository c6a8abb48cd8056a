"""`python -m msb contract`: check any image and say what came of it, as lines or as JSON."""

import json
from collections import Counter
from contextlib import ExitStack

from msb import stacks
from msb.contract.exceptions import Allowed
from msb.contract.rules import Finding, Result, Status, Subject, check
from msb.engine import Engine
from msb.image import Image
from msb.stacks import Stack

SHOWN = 20
"""Findings of one rule that are printed; the rest are counted. JSON has them all."""


def contract(
    engine: Engine,
    stack: Stack,
    image: str,
    build_image: str | None = None,
    exceptions: tuple[Allowed, ...] = (),
    as_json: bool = False,
) -> int:
    """Check `image` against the contract of `stack`, print the verdicts, and return the exit code.

    0: no rule spoke; 1: findings; 2: no finding, but a rule could not look. Raises MsbError when there is no image.
    """
    with ExitStack() as opened:
        subject = Subject(
            engine=engine,
            stack=stack,
            contract=stacks.load().contract,
            image=opened.enter_context(Image(engine, image)),
            build_image=opened.enter_context(Image(engine, build_image)) if build_image else None,
            exceptions=exceptions,
        )
        result = check(subject)
    print(to_json(image, stack.name, result) if as_json else "\n".join(lines(result)))
    return exit_code(result)


def exit_code(result: Result) -> int:
    """1 on findings, 2 when a rule could not look and none spoke, else 0."""
    if result.findings:
        return 1
    return 2 if result.having(Status.ERROR) else 0


def lines(result: Result) -> list[str]:
    """One line a finding, one for each rule that could not look, then the summary."""
    text = []
    for verdict in result.verdicts.values():
        text += [str(finding) for finding in verdict.findings[:SHOWN]]
        if len(verdict.findings) > SHOWN:
            text.append(f"{verdict.rule.code}: and {len(verdict.findings) - SHOWN} more")
        if verdict.status is Status.ERROR:
            text.append(f"{verdict.rule.code} could not look: {verdict.reason}")
    return [*text, summary(result)]


def summary(result: Result) -> str:
    """How many rules passed, spoke, failed to look, and were not looked at, with the reasons; and what was allowed."""
    passed, found, errors = (len(result.having(status)) for status in (Status.PASSED, Status.FOUND, Status.ERROR))
    parts = [f"{passed} rules passed", f"{found} spoke"]
    if errors:
        parts.append(f"{errors} could not look")
    unseen = Counter(verdict.reason for verdict in result.having(Status.NOT_LOOKED))
    if unseen:
        reasons = ", ".join(f"{count} {reason}" for reason, count in unseen.items())
        parts.append(f"{unseen.total()} not looked at ({reasons})")
    allowed = sum(len(verdict.allowed) for verdict in result.verdicts.values())
    if allowed:
        parts.append(f"{allowed} allowed by the project's exceptions")
    return ", ".join(parts)


def to_json(image: str, stack: str, result: Result) -> str:
    """The same content for machines: every rule with its status, findings, reason and seconds."""
    rules = [
        {
            "code": verdict.rule.code,
            "promise": verdict.rule.promise,
            "status": verdict.status.value,
            "reason": verdict.reason,
            "seconds": round(verdict.seconds, 3),
            "findings": [_told(finding) for finding in verdict.findings],
            "allowed": [_told(finding) for finding in verdict.allowed],
        }
        for verdict in result.verdicts.values()
    ]
    return json.dumps({"image": image, "stack": stack, "summary": summary(result), "rules": rules}, indent=2)


def _told(finding: Finding) -> dict[str, str]:
    return {"where": finding.where, "message": finding.message}
