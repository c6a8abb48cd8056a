"""What a project's owner allows: the `allow` lines of its docker/contract.txt, as docker/verify reads them.

A waiver may end: in `allow CODE /PATH until 2027-01-31 REASON` that is its last day. Only the full contract counts the
days, for a build must not change with the date.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from msb.errors import MsbError

_LINE = re.compile(r"allow\s+(MSB\d{3})\s+(/\S*)\s+(?:until\s+(\S+)\s+)?(\S.*)")
_BRACKET = re.compile(r"\[(?!!?[A-Za-z0-9_.-]+\])")
_LAYER = re.compile(r" \(layer \d+\)$")


@dataclass(frozen=True)
class Allowed:
    """One exception. code: the rule; path: a shell pattern for the finding's place, with a leading slash.

    A bracket in the pattern that opens no simple set ([a-z0-9], [!x]) is itself, as in docker/verify. until: its last
    day, or None.
    """

    code: str
    path: str
    reason: str = ""
    until: date | None = None

    @property
    def expired(self) -> bool:
        """Whether its last day is over, in UTC."""
        return self.until is not None and datetime.now(UTC).date() > self.until

    def covers(self, code: str, where: str) -> bool:
        """Whether it is meant for a finding of that rule at that place, in whichever layer."""
        pattern = _BRACKET.sub("[[]", self.path)
        return code == self.code and not self.expired and fnmatchcase("/" + placed(where), pattern)


def placed(where: str) -> str:
    """Return the path of a finding's place, without the layer that it is in."""
    return _LAYER.sub("", where)


def exceptions(file: Path) -> tuple[Allowed, ...]:
    """Read the exceptions of a docker/contract.txt; its other lines are data of docker/verify.

    Raises MsbError when it cannot be read, or when an exception is not a code, a path and a reason.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise MsbError(f"{file}: cannot be read: name a project's docker/contract.txt") from error
    allowed = []
    for line in (line for line in lines if line.split()[:1] == ["allow"]):
        match = _LINE.fullmatch(line)
        if not match:
            raise MsbError(
                f"{file}: {line!r} is not allow CODE /PATH REASON, as in allow MSB107 /app/x.c clients read it"
            )
        try:
            until = date.fromisoformat(match[3]) if match[3] else None
        except ValueError:
            raise MsbError(f"{file}: {line!r}: {match[3]!r} is no date, as in until 2027-01-31") from None
        allowed.append(Allowed(match[1], match[2], match[4], until))
    return tuple(allowed)
