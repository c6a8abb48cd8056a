"""Is a run that lost a rule, an option set or a mutant told from one that covers them all?"""

import json
from collections.abc import Callable
from pathlib import Path

import covered
import pytest
from test_mutants import COVERED

from msb.contract import RULES
from msb.stacks import Matrix

pytest_plugins = ["pytester"]


def test_every_rule_is_wanted_of_every_option_set_that_is_built_and_of_a_mutant(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MSB_BASES", raising=False)
    wanted = covered.wanted(matrix, COVERED)
    sets = {
        (stack.name, options.name)
        for stack in matrix.stacks.values()
        for options in stack.option_sets
        if options.build is True
    }
    assert {(stack, options) for _, stack, options, _ in wanted} == sets
    for stack, options in sets:
        rules = {code for code, *rest in wanted if rest == [stack, options, ""]}
        assert set(RULES) - rules == (set() if options == "default" else {"MSB110", "MSB502"})
    assert {code for code, _, _, mutant in wanted if mutant} == set(RULES)


def test_what_a_passed_test_covers_is_written_and_what_a_failed_one_does_is_not(tmp_path: Path) -> None:
    entry = ("MSB101", "go", "default", "")

    def report(outcome: str, when: str = "call") -> pytest.TestReport:
        properties = [("group", "go"), (covered.PROPERTY, list(entry))]
        return pytest.TestReport("test", ("", 0, ""), {}, outcome, None, when, user_properties=properties)  # type: ignore[arg-type]

    assert covered.of([report("failed"), report("skipped"), report("passed", "setup")]) == set()
    assert covered.of([report("failed"), report("passed")]) == {entry}
    covered.write({entry}, tmp_path / "coverage.json")
    assert json.loads((tmp_path / "coverage.json").read_text()) == [
        {"rule": "MSB101", "stack": "go", "option_set": "default", "mutant": ""}
    ]


RUN = """
import covered
def test(record_property):
    record_property(covered.PROPERTY, ["MSB101", "go", "default", ""])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "fails"), [(("-n2",), True), (("-k", "test"), False), (("test_part.py",), False)], ids=str
)
def test_a_whole_run_that_lost_coverage_fails_and_says_what_and_a_part_does_not(
    run: Callable[..., pytest.RunResult], part: tuple[str, ...], fails: bool
) -> None:
    result = run(*part)
    assert result.ret == (1 if fails else 0)
    lost = [line for line in result.outlines if line.startswith("not covered: ")]
    assert ("not covered: MSB102 of go, default" in lost) == fails
    assert "not covered: MSB101 of go, default" not in lost


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Run one test that covers one entry, with the hooks of these tests, in two workers."""
    tests = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{tests}:{tests.parent}")
    conftest = (tests / "conftest.py").read_text(encoding="utf-8")
    pytester.makeconftest(f"{conftest}\ncovered.FILE = Path({str(pytester.path / 'coverage.json')!r})\n")
    pytester.makepyfile(test_part=RUN)
    pytester.makeini("[pytest]\ntestpaths = .\nmarkers = engine\n")
    return lambda *arguments: pytester.runpytest_subprocess(*arguments)
