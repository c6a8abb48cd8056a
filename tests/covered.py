"""What a run of the tests covers, (rule, stack, option set, mutant) each, and what it has to by stacks.toml."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from msb.contract import RULES, Need
from msb.stacks import ROOT, Matrix, OptionSet, Stack

Entry = tuple[str, str, str, str]
"""A rule, a stack, one of its option sets, and the mutant on which the rule spoke, or "" where it was silent."""
PROPERTY = "covered"
"""The property of a test's report that holds what it covers: it reaches the main process from every worker."""
FILE = ROOT / ".out" / "coverage.json"
_OTHER_IMAGES = {Need.BUILD_IMAGE, Need.TWIN}
"""What a rule looks at that no answer changes: it is asked of the default option set alone."""


def built(stack: Stack) -> list[OptionSet]:
    """The option sets that a run builds: one whose base has no stand-in only where bases are pulled."""
    pulled = os.environ.get("MSB_BASES") == "pull"
    return [options for options in stack.option_sets if options.build is True or (options.build == "pulled" and pulled)]


def asked(options: OptionSet) -> list[str]:
    """The rules that an option set keeps."""
    return [code for code, rule in RULES.items() if options.name == "default" or not _OTHER_IMAGES & set(rule.needs)]


def wanted(matrix: Matrix, mutants: Iterable[Entry]) -> set[Entry]:
    """What a whole run has to cover: every rule on every option set that is built, and every mutant."""
    promises = (
        (code, stack.name, options.name, "")
        for stack in matrix.stacks.values()
        for options in built(stack)
        for code in asked(options)
    )
    return {*promises, *mutants}


def of(reports: Iterable[pytest.TestReport]) -> set[Entry]:
    """What the tests that passed have covered."""
    properties = (
        pair for report in reports if report.when == "call" and report.passed for pair in report.user_properties
    )
    return {tuple(value) for name, value in properties if name == PROPERTY}


def write(entries: set[Entry], file: Path) -> None:
    """Write a run's coverage, one entry a line."""
    file.parent.mkdir(exist_ok=True)
    names = ("rule", "stack", "option_set", "mutant")
    lines = [json.dumps(dict(zip(names, entry, strict=True)), ensure_ascii=False) for entry in sorted(entries)]
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def is_whole(config: pytest.Config) -> bool:
    """Whether the run was asked for all tests: a part covers a part."""
    option = config.option
    parts = (option.keyword, option.markexpr, option.deselect, option.collectonly, getattr(option, "lf", False))
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(parts)
