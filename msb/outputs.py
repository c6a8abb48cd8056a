"""What came of a check, told: as lines, as JSON (docs/contract.schema.json), as SARIF 2.1.0 and as JUnit."""

import inspect
import json
from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree

from pydantic import BaseModel

import msb
from msb import stacks
from msb.contract.exceptions import Allowed, placed
from msb.contract.rules import RULES, Finding, Result, Status, Verdict, escaped

SHOWN = 20
"""Findings of one rule that are printed; the rest are counted. The other forms have them all."""
MOST = 5000
"""Results of one SARIF run: GitHub shows no more, and refuses a file with several times as many."""
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Told:
    """A finding. where: a path of the image without its leading slash, or the part of it that is meant."""

    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Waived(Told):
    """A finding that the owner allows, with the reason, and the last day of the waiver or null."""

    reason: str
    until: str | None


class RuleTold(BaseModel):
    """A rule: its verdict, the reason when it was skipped or errored, and how long it took."""

    code: str
    promise: str
    status: Status
    reason: str
    seconds: float
    findings: list[Told]
    waived: list[Waived]


class ImageTold(BaseModel):
    """One image of those that were checked. platform: as in linux/amd64, or "" where nothing says it."""

    platform: str
    summary: str
    rules: list[RuleTold]


class WaiverTold(BaseModel):
    """A waiver that covers no finding any more, or none any longer."""

    code: str
    path: str
    reason: str
    problem: str


class Check(BaseModel):
    """All that one run of `msb contract` saw. stack: `any` where none was named."""

    version: str
    image: str
    stack: str
    images: list[ImageTold]
    waivers: list[WaiverTold]


def told(reference: str, stack: str, results: dict[str, Result], waivers: tuple[Allowed, ...] = ()) -> Check:
    """Return what the results say. results: by platform; waivers: what the owner allows."""
    images = [
        ImageTold(platform=platform, summary=summary(result), rules=[_rule(each) for each in result.verdicts.values()])
        for platform, result in results.items()
    ]
    idle = [
        WaiverTold(code=each.code, path=each.path, reason=each.reason, problem=problem)
        for each in waivers
        if (problem := _problem(each, list(results.values())))
    ]
    return Check(version=msb.__version__, image=escaped(reference), stack=stack, images=images, waivers=idle)


def exit_code(results: dict[str, Result]) -> int:
    """1 on findings, 2 when a rule errored and none failed, else 0."""
    if any(result.findings for result in results.values()):
        return 1
    return 2 if any(result.having(Status.ERRORED) for result in results.values()) else 0


def summary(result: Result) -> str:
    """How many rules passed, failed, errored and were skipped, with the reasons; and what was waived."""
    passed, failed, errored = (len(result.having(status)) for status in (Status.PASSED, Status.FAILED, Status.ERRORED))
    parts = [f"{passed} rules passed", f"{failed} failed"]
    if errored:
        parts.append(f"{errored} errored")
    skipped = Counter(verdict.reason for verdict in result.having(Status.SKIPPED))
    if skipped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        parts.append(f"{skipped.total()} skipped ({reasons})")
    waived = sum(len(verdict.allowed) for verdict in result.verdicts.values())
    if waived:
        parts.append(f"{waived} findings waived")
    return ", ".join(parts)


def lines(check: Check) -> list[str]:
    """One line per finding, one for each rule that errored and each waiver, then the summary; for each image."""
    text = []
    for image in check.images:
        before = f"{image.platform}: " if len(check.images) > 1 else ""
        for rule in image.rules:
            one = [f"{rule.code} {each.where}: {each.message}" for each in rule.findings[:SHOWN]]
            more = len(rule.findings) - SHOWN
            one += [f"{rule.code}: and {more} more"] if more > 0 else []
            one += [f"{rule.code} {each.where}: waived: {each.reason}{_until(each.until)}" for each in rule.waived]
            one += [f"{rule.code} errored: {rule.reason}"] if rule.status is Status.ERRORED else []
            text += [before + line for line in one]
        text.append(before + image.summary)
    return [f"allow {each.code} {each.path}: {each.problem}" for each in check.waivers] + text


def as_json(check: Check) -> str:
    """The check as JSON; docs/contract.schema.json is its schema."""
    return check.model_dump_json(indent=2)


def schema() -> str:
    """The JSON schema of as_json()."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Check.model_json_schema()}
    return json.dumps(document, indent=2) + "\n"


def as_sarif(check: Check, results: dict[str, Result]) -> str:
    """The check as SARIF 2.1.0: one run an image, findings as errors, waived ones as suppressed."""
    runs = []
    for image, result in zip(check.images, results.values(), strict=True):
        place = {"id": f"msb/{check.image}/{image.platform}"}
        notes = [_notification(rule) for rule in image.rules if rule.status in (Status.ERRORED, Status.SKIPPED)]
        found = [(rule.code, each) for rule in image.rules for each in [*rule.findings, *rule.waived]]
        if len(found) > MOST:
            notes.append({"level": "warning", "message": {"text": f"{len(found) - MOST} more results are left out"}})
        runs.append(
            {
                "tool": {"driver": _driver(check, result)},
                "automationDetails": place,
                "invocations": [
                    {
                        "executionSuccessful": not result.having(Status.ERRORED),
                        "toolExecutionNotifications": notes,
                    }
                ],
                "results": [_sarif(code, each) for code, each in found[:MOST]],
            }
        )
    return json.dumps({"$schema": _SARIF, "version": "2.1.0", "runs": runs}, indent=2)


def as_junit(check: Check) -> str:
    """The check as JUnit's XML: a suite an image, a case a rule."""
    root = ElementTree.Element("testsuites", name=f"msb contract {check.image}")
    for image in check.images:
        counts = Counter(rule.status for rule in image.rules)
        suite = ElementTree.SubElement(
            root, "testsuite", name=f"{check.image} {image.platform}".strip(), tests=str(len(image.rules)),
            failures=str(counts[Status.FAILED]), errors=str(counts[Status.ERRORED]),
            skipped=str(counts[Status.SKIPPED]), time=f"{sum(rule.seconds for rule in image.rules):.3f}",
        )  # fmt: skip
        for rule in image.rules:
            case = ElementTree.SubElement(
                suite, "testcase", classname="contract", name=f"{rule.code} {rule.promise}", time=f"{rule.seconds:.3f}"
            )
            text = "\n".join(f"{each.where}: {each.message}" for each in rule.findings)
            kind = {Status.FAILED: "failure", Status.ERRORED: "error", Status.SKIPPED: "skipped"}.get(rule.status)
            if kind:
                message = rule.reason or f"{len(rule.findings)} findings"
                ElementTree.SubElement(case, kind, message=message).text = text
            if rule.waived:
                waived = [f"{each.where}: {each.message}: waived: {each.reason}" for each in rule.waived]
                ElementTree.SubElement(case, "system-out").text = "\n".join(waived)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _rule(verdict: Verdict) -> RuleTold:
    return RuleTold(
        code=verdict.rule.code,
        promise=verdict.rule.promise,
        status=verdict.status,
        reason=escaped(verdict.reason),
        seconds=round(verdict.seconds, 3),
        findings=[Told(**_texts(finding)) for finding in verdict.findings],
        waived=[
            Waived(**_texts(finding), reason=waiver.reason, until=waiver.until.isoformat() if waiver.until else None)
            for finding, waiver in verdict.allowed
        ],
    )


def _texts(finding: Finding) -> dict[str, str]:
    return {"where": escaped(finding.where), "message": escaped(finding.message)}


def _problem(waiver: Allowed, results: list[Result]) -> str:
    """What is wrong with a waiver, or "": only a rule that looked can say that it covers nothing."""
    if waiver.code not in RULES:
        return "is for a rule that does not exist"
    verdicts = [result.verdicts[waiver.code] for result in results if waiver.code in result.verdicts]
    if waiver.expired:
        return f"expired on {waiver.until}: renew it, or fix what it allowed"
    looked = [each for each in verdicts if each.status in (Status.PASSED, Status.FAILED)]
    used = any(waiver is used for verdict in looked for _, used in verdict.allowed)
    return "is not used: nothing is found there any more" if looked and not used else ""


def _until(day: str | None) -> str:
    return f" (until {day})" if day else ""


def _driver(check: Check, result: Result) -> dict[str, object]:
    home = stacks.load().collection.address
    rules = [
        {
            "id": verdict.rule.code,
            "shortDescription": {"text": verdict.rule.promise},
            "fullDescription": {"text": inspect.cleandoc(verdict.rule.look.__doc__ or "")},
            "helpUri": f"{home}/blob/main/docs/contract.md#{verdict.rule.code.lower()}",
        }
        for verdict in result.verdicts.values()
    ]
    return {"name": "msb contract", "version": check.version, "informationUri": home, "rules": rules}


def _notification(rule: RuleTold) -> dict[str, object]:
    return {
        "level": "error" if rule.status is Status.ERRORED else "note",
        "message": {"text": f"{rule.status}: {rule.reason}"},
        "associatedRule": {"id": rule.code},
    }


def _sarif(code: str, finding: Told) -> dict[str, object]:
    """A result; its place is a file of the image, which is none of the repository."""
    place = placed(finding.where)
    result: dict[str, object] = {
        "ruleId": code,
        "level": "error",
        "message": {"text": f"{finding.where}: {finding.message}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": quote(place)}, "region": {"startLine": 1}},
                "logicalLocations": [{"fullyQualifiedName": finding.where}],
            }
        ],
        "partialFingerprints": {"finding/v1": f"{code} {place}"},
    }
    if isinstance(finding, Waived):
        justification = finding.reason + _until(finding.until)
        result["suppressions"] = [{"kind": "external", "justification": justification}]
    return result
