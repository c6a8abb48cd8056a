"""The records of a distribution's packages: dpkg's one file, distroless's file for each, and Alpine's."""

import re
from collections.abc import Iterator

from msb.tree import Entry, Tree

STATUS = "var/lib/dpkg/status"
"""Where dpkg itself records every package."""
_RECORDS = (STATUS, "lib/apk/db/installed", "usr/lib/apk/db/installed")


def is_dpkgs(entry: Entry) -> bool:
    """Whether a file is a record in dpkg's form, of one package or of all."""
    folder, _, name = entry.path.rpartition("/")
    one = folder == f"{STATUS}.d" and not name.endswith(".md5sums")
    return entry.kind == "file" and (one or entry.path == STATUS)


def packages(tree: Tree) -> Iterator[tuple[str, str, str]]:
    """Yield (path of the record, package, section) of each package that is installed."""
    for entry in tree:
        if is_dpkgs(entry):
            for stanza in tree.read(entry).decode("utf-8", "replace").split("\n\n"):
                said = dict(re.findall(r"^(Package|Section|Status):.*?(\S+)[ \t]*$", stanza, re.MULTILINE))
                if "Package" in said and said.get("Status") not in ("config-files", "not-installed"):
                    yield entry.path, said["Package"], said.get("Section", "").rpartition("/")[2]
        elif entry.kind == "file" and entry.path in _RECORDS:
            text = tree.read(entry).decode("utf-8", "replace")
            yield from ((entry.path, package, "") for package in re.findall(r"^P:(\S+)", text, re.MULTILINE))
