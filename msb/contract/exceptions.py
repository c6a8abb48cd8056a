"""What a project's owner allows: the `allow` lines of its docker/contract.txt, as docker/verify reads them."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from msb.errors import MsbError

_LINE = re.compile(r"allow\s+(MSB\d{3})\s+(/\S*)\s+\S.*")
_LAYER = re.compile(r" \(layer \d+\)$")


@dataclass(frozen=True)
class Allowed:
    """One exception. code: the rule; path: a shell pattern for the finding's place, with a leading slash."""

    code: str
    path: str

    def covers(self, code: str, where: str) -> bool:
        """Whether it is meant for a finding of that rule at that place, in whichever layer."""
        return code == self.code and fnmatchcase("/" + _LAYER.sub("", where), self.path)


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
        allowed.append(Allowed(match[1], match[2]))
    return tuple(allowed)
