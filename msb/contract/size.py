"""5xx: size, layers and packages."""

from collections.abc import Iterator
from heapq import nlargest
from typing import Any

from msb.contract.records import STATUS, is_dpkgs, packages
from msb.contract.rules import Need, Sees, Subject, rule
from msb.contract.scanner import RELEASE, scan
from msb.tree import Entry, Layer, hidden

EFFICIENCY = 0.99
"""The least share of the layers' bytes that a container sees."""
_SHOWN = 10  # the largest files that are told


@rule(501)
def budget(subject: Subject) -> Iterator[tuple[str, str]]:
    """The image is within its stack's budget: uncompressed bytes, as `docker export` writes them.

    Why: growth that nobody decided shows here first.
    Example: `MSB501 size: 78,643,200 bytes, 66,643,200 over the budget of 12,000,000`
    Fix: find what came along (`docker history`), or raise the budget in stacks.toml with a reason in the commit.
    """
    size, limit = subject.image.tree.size, subject.stack.budget.bytes
    if size > limit:
        yield "size", f"{size:,} bytes, {size - limit:,} over the budget of {limit:,}"


@rule(502, Need.TWIN)
def share_of_twin(subject: Subject) -> Iterator[tuple[str, str]]:
    """The image is at most the stated share of the naive single-stage image of the same application.

    Why: that share is what the stages are for.
    Example: `MSB502 size: 12.5 % of the twin's 800,000,000 bytes, the limit is 3.0 %`
    Fix: as for 501; or the twin itself is not naive enough.
    """
    assert subject.twin  # noqa: S101 the rule's need
    size, whole, limit = subject.image.tree.size, subject.twin.tree.size, subject.stack.budget.twin_share
    if size > limit * whole:
        yield "size", f"{size / whole:.1%} of the twin's {whole:,} bytes, the limit is {limit:.1%}"


@rule(503, sees=Sees.LAYERS)
def stored_once(subject: Subject) -> Iterator[tuple[str, str]]:
    """No file is stored twice: a container sees at least 99 % of the bytes of all layers.

    Why: what a later layer deletes, replaces, or changes the mode or owner of is stored, pushed and pulled all the
    same. A few bytes are no matter: an account more in /etc/passwd.
    Example: `MSB503 app/model.bin (layer 3): 52,428,800 bytes that a later layer hides or stores again`
    Fix: `COPY --chown --chmod` in place of `RUN chown`; delete in the step that made it, or make it in another stage.
    """
    layers = subject.image.layers
    total = sum(entry.size for layer in layers for entry in _stored(layer))
    wasted = [
        (entry.size, f"{entry.path} (layer {number})")
        for number, (layer, gone) in enumerate(zip(layers, hidden(layers), strict=True), 1)
        for entry in _stored(layer)
        if entry.path in gone
    ]
    if sum(size for size, _ in wasted) > (1 - EFFICIENCY) * total:
        for size, where in nlargest(_SHOWN, wasted):
            yield where, f"{size:,} bytes that a later layer hides or stores again"


@rule(504, Need.PROJECT, sees=Sees.BUILD)
def layers_by_change(subject: Subject) -> Iterator[tuple[str, str]]:
    """A source edit changes the layer of the application and no other.

    Why: a registry stores and a machine pulls only the layers that changed. The places that may are the stack's
    `changes` in stacks.toml.
    Example: `MSB504 usr/local/lib/python3.14/os.py: is in a layer that a source edit changes`
    Fix: lay out what changes at another rate as a tree of its own in `package`, and copy it by itself.
    """
    places = tuple(subject.stack.changes)
    for entry in (entry for layer in subject.edited.layers for entry in layer):
        path = f"/{entry.path}/" if entry.kind == "folder" else f"/{entry.path}"
        if not path.startswith(places) and not any(place.startswith(path) for place in places):
            yield entry.path, "is in a layer that a source edit changes"


@rule(505, Need.SYFT)
def scanned(subject: Subject) -> Iterator[tuple[str, str]]:
    """Scanners see the packages, and their origin agrees with os-release.

    Why: a scanner reports a vulnerability of a package that it sees, by the advisories of the distribution in
    os-release. A record that it cannot read, or one of another distribution, hides what is to be updated.
    The records are dpkg's own, var/lib/dpkg/status, and the files in var/lib/dpkg/status.d, one a package, which builds
    write.
    Example: `MSB505 var/lib/dpkg/status.d/libssl3t64: Syft sees no package with a version in this record`
    Fix: write the whole stanza of dpkg's status file, as `docker/bundle` does; take libraries from the distribution
    that the base image has.
    """
    tree = subject.image.tree
    records = [entry for entry in tree if is_dpkgs(entry)]
    if not records:
        return
    named = [(path, name) for path, name, _ in packages(tree) if path.startswith(STATUS)]
    read = {STATUS, *(path for path, _ in named)}
    named += [(record.path, "") for record in records if record.path not in read]  # of one that names no package
    seen = scan(tree, records)
    found = {
        (place["path"].lstrip("/"), each["name"]): each for each in seen["artifacts"] for place in each["locations"]
    }
    release = {seen["distro"].get("id", ""), *seen["distro"].get("idLike", [])} - {""}
    if not release:
        yield RELEASE, "Syft sees no distribution, so no advisory belongs to the packages"
    for path, name in named:
        package = found.get((path, name))
        where = f"{path} ({name})" if path == STATUS else path
        if not package or package["version"] == "UNKNOWN":
            yield where, "Syft sees no package with a version in this record"
        elif release and "ubuntu" not in release and _of_ubuntu(package):
            yield where, f"is a package of ubuntu, and os-release says {seen['distro']['id']}"


def _stored(layer: Layer) -> Iterator[Entry]:
    """The files of a layer whose content is in it: a hard link's is that of another."""
    return (entry for entry in layer.archive.entries.values() if entry.kind == "file" and not entry.hard)


def _of_ubuntu(package: dict[str, Any]) -> bool:
    """Ubuntu says so in the version or by a list that maintains what it changed; what it did not is Debian's too.

    Debian's own maintainers may have an address at ubuntu.com.
    """
    return "ubuntu" in package["version"] or package["metadata"].get("maintainer", "").endswith("@lists.ubuntu.com>")
