"""A release of the collection: one version, named in four places."""

import re
from pathlib import Path

import msb
from msb.errors import MsbError
from msb.stacks import ROOT

_DATE = r"\d{4}-\d{2}-\d{2}"


def notes(tag: str, root: Path = ROOT) -> str:
    """Return the section of CHANGELOG.md for a tag, without its heading.

    Raises MsbError if the tag is not `v` and the version of msb, if README.md uses the action at another tag, or if
    CHANGELOG.md has no section with text for it.
    """
    if tag != f"v{msb.__version__}":
        raise MsbError(f"the tag {tag} does not match the version {msb.__version__} in msb/__init__.py")
    used = set(re.findall(r"actions/contract@(\S+)", (root / "README.md").read_text(encoding="utf-8")))
    if used != {tag}:
        raise MsbError(f"README.md uses the action at {', '.join(sorted(used)) or 'no tag'}: write {tag}")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = rf"^## \[{re.escape(msb.__version__)}\] - {_DATE}\n"
    section = re.search(rf"{heading}(.*?)(?=^## |\Z)", changes, re.MULTILINE | re.DOTALL)
    if not section or not section[1].strip():
        raise MsbError(f"CHANGELOG.md has no section for {tag}: write the heading ## [{msb.__version__}] - 2026-01-31")
    return section[1].strip()
