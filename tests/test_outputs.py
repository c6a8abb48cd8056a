"""Is what came of a check told in full, and in the form that each reader expects?"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from msb import outputs
from msb.contract import Finding, Result, Rule, Status, Verdict
from msb.contract.exceptions import Allowed, exceptions
from msb.contract.rules import escaped
from msb.stacks import ROOT

FOLDER = Path(__file__).parent
TODAY = datetime.now(UTC).date()
WAIVER = Allowed("MSB107", "/app/a.c", "clients read it", TODAY)
IDLE = Allowed("MSB107", "/app/b.c", "clients read it")
UNKNOWN = Allowed("MSB999", "/app/c.c", "clients read it")


def promised(number: int) -> Rule:
    def look(_: object) -> None:
        """Keep a promise.

        Why: somebody relies on it.
        """

    return Rule(f"MSB{number}", look, ())  # type: ignore[arg-type]


def result() -> Result:
    """One rule of each verdict; a name of a file would forge a second finding."""
    forged = Finding("MSB101", "app/x\nMSB999 app/y", "build tool \udcff <in> the image")
    waived = Finding("MSB107", "app/a.c", "only a developer needs this")
    verdicts = [
        Verdict(promised(101), Status.FAILED, (forged,) * 3, seconds=0.25),
        Verdict(promised(107), Status.PASSED, (), ((waived, WAIVER),)),
        Verdict(promised(110), Status.SKIPPED, reason="needs the build stage"),
        Verdict(promised(401), Status.ERRORED, reason="it could not look"),
    ]
    return Result({verdict.rule.code: verdict for verdict in verdicts})


@pytest.fixture
def check() -> outputs.Check:
    return outputs.told("an-image", "go", {"linux/amd64": result()}, (WAIVER, IDLE, UNKNOWN))


def test_lines_have_a_finding_each_and_tell_of_every_waiver(check: outputs.Check) -> None:
    finding = r"MSB101 app/x\nMSB999 app/y: build tool \xff <in> the image"
    assert outputs.lines(check) == [
        "allow MSB107 /app/b.c: is not used: nothing is found there any more",
        "allow MSB999 /app/c.c: is for a rule that does not exist",
        *[finding] * 3,
        f"MSB107 app/a.c: waived: clients read it (until {TODAY})",
        "MSB401 errored: it could not look",
        "1 rules passed, 1 failed, 1 errored, 1 skipped (1 needs the build stage), 1 findings waived",
    ]


def test_lines_of_several_platforms_say_which(check: outputs.Check) -> None:
    several = outputs.told("an-image", "go", {"linux/amd64": result(), "linux/arm64": result()})
    assert {line.partition(": ")[0] for line in outputs.lines(several)} == {"linux/amd64", "linux/arm64"}


def test_many_findings_of_a_rule_are_counted(check: outputs.Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "SHOWN", 2)
    assert outputs.lines(check)[4] == "MSB101: and 1 more"


def test_json_keeps_its_published_schema(check: outputs.Check) -> None:
    schema = json.loads((ROOT / "docs" / "contract.schema.json").read_text(encoding="utf-8"))
    document = json.loads(outputs.as_json(check))
    jsonschema.validate(document, schema)
    rules = document["images"][0]["rules"]
    assert [rule["status"] for rule in rules] == ["failed", "passed", "skipped", "errored"]
    assert rules[1]["waived"][0]["until"] == str(TODAY)
    assert document["waivers"][0]["path"] == "/app/b.c"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"images": [{}]}, schema)


def test_sarif_keeps_its_schema_and_suppresses_what_is_waived(check: outputs.Check) -> None:
    document = json.loads(outputs.as_sarif(check, {"linux/amd64": result()}))
    schema = json.loads((FOLDER / "sarif-schema-2.1.0.json").read_text(encoding="utf-8"))  # OASIS', as it is
    jsonschema.validate(document, schema)
    (run,) = document["runs"]
    assert [each["ruleId"] for each in run["results"]] == ["MSB101"] * 3 + ["MSB107"]
    assert run["results"][3]["suppressions"][0]["justification"] == f"clients read it (until {TODAY})"
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "app/x%5CnMSB999%20app/y"
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert [each["level"] for each in invocation["toolExecutionNotifications"]] == ["note", "error"]


def test_sarif_has_no_more_results_than_github_takes_and_says_so(
    check: outputs.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MOST", 3)
    (run,) = json.loads(outputs.as_sarif(check, {"linux/amd64": result()}))["runs"]
    assert len(run["results"]) == 3
    assert run["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"] == "1 more results are left out"


def test_junit_has_a_case_a_rule(check: outputs.Check) -> None:
    root = ElementTree.fromstring(outputs.as_junit(check))  # noqa: S314 our own
    (suite,) = root
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["4", "1", "1", "1"]
    assert [[part.tag for part in case] for case in suite] == [["failure"], ["system-out"], ["skipped"], ["error"]]
    assert r"app/x\nMSB999 app/y" in (suite[0][0].text or "")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain é", "plain é"),
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\udcfe", r"\xfe"),
        ("\x1b[31m", r"\x1b[31m"),
        ("‮", r"\u202e"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, printed: str) -> None:
    assert escaped(text) == printed


def test_a_waiver_ends_after_its_last_day(tmp_path: Path) -> None:
    file = tmp_path / "contract.txt"
    yesterday = TODAY - timedelta(days=1)
    file.write_text(
        f"allow MSB107 /a until {yesterday} it was\nallow MSB107 /b until {TODAY} it is\n", encoding="utf-8"
    )
    over, current = exceptions(file)
    assert (over.covers("MSB107", "a"), current.covers("MSB107", "b")) == (False, True)
    assert (over.reason, current.until) == ("it was", TODAY)
    told = outputs.told("an-image", "go", {"": result()}, (over,))
    assert outputs.lines(told)[0] == (f"allow MSB107 /a: expired on {yesterday}: renew it, or fix what it allowed")
