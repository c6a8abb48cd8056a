"""1xx: no build tools, and nothing that only a build needs."""

import csv
import re
from collections.abc import Callable, Iterator

from msb.contract.rules import Need, Subject, names_like, rule
from msb.image import Tree

_WHEEL = re.compile(r"([^-]+)(?:-.*)?\.(?:dist|egg)-info")
_RECORDS = ("var/lib/dpkg/status.d/", "var/lib/dpkg/info/")


@rule(101)
def tool_names(subject: Subject) -> Iterator[tuple[str, str]]:
    """No program is called like a build tool, whatever folder it is in.

    Why: a compiler in a running service is a workshop for whoever breaks in, and weight for everybody else.
    Only programs count: files that start with ELF or #!, and links to them. A page called `go` may stay.
    Example: `MSB101 usr/bin/gcc: build tool in the runtime image`
    Fix: build in `build`, and copy only the result into the tree that `package` lays out.
    """
    yield from _tool_names(subject, subject.image.tree)


@rule(102)
def tool_links(subject: Subject) -> Iterator[tuple[str, str]]:
    """No link leads to a build tool, whatever the link is called and however many links lie between.

    Why: a link with a harmless name runs the tool all the same.
    Example: `MSB102 app/notes: link to the build tool usr/bin/gcc`
    Fix: remove the link, and the tool it leads to.
    """
    for entry in subject.image.tree:
        target = subject.image.tree.resolve(entry.path) if entry.kind == "link" else None
        named = subject.tools.match(entry.name)  # then it is rule 101's
        if target and target.program and subject.tools.match(target.name) and not named:
            yield entry.path, f"link to the build tool {target.path}"


@rule(103)
def tool_packages(subject: Subject) -> Iterator[tuple[str, str]]:
    """No package record names a compiler, a package manager, a shell or a development package.

    Why: the record says that the package's files came along, or lies to scanners about it.
    Example: `MSB103 var/lib/dpkg/status.d/gcc-14: package gcc-14 in the runtime image`
    Fix: bundle the one library that is needed (docker/bundle), not its whole package.
    """
    yield from _tool_packages(subject, subject.image.tree)


@rule(104)
def owned_programs(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every ELF file is owned: by a package's md5sums, a wheel's RECORD, or a place that the stack names.

    Why: scanners see packages, not files; machine code that nobody owns is code that nobody patches.
    A file that differs from its package's checksum counts as not owned.
    Example: `MSB104 usr/lib/libz.so.1: belongs to no package and not to the application`
    Fix: let docker/bundle copy it with its package's record. The stack's own places are `unpackaged` in stacks.toml.
    """
    tree = subject.image.tree
    sums = _checksums(tree)
    wheels = _wheel_files(tree)
    for entry in (entry for entry in tree if entry.elf):
        if f"/{entry.path}".startswith(tuple(subject.stack.unpackaged)) or entry.path in wheels:
            continue
        if entry.path not in sums:
            yield entry.path, "belongs to no package and not to the application"
        elif tree.md5(entry) not in sums[entry.path]:
            yield entry.path, "differs from what its package holds"


@rule(105)
def tool_fingerprints(subject: Subject) -> Iterator[tuple[str, str]]:
    """No machine code and no Java runtime holds the text that gives a build tool or a shell away, by whatever name.

    Why: renaming a compiler does not disarm it, and Java's is a module that needs no program of its own. The texts are
    stacks.toml's fingerprints.
    Example: `MSB105 app/data: is gcc under another name`
    Fix: remove the file. If the service itself was meant, its text collides with a fingerprint: allow it by path.
    """
    texts = {text.encode(): name for name, text in subject.contract.content.fingerprints.items()}
    any_text = re.compile(b"|".join(map(re.escape, texts)))
    for entry in subject.image.tree:
        match = subject.image.tree.search(entry, any_text) if entry.elf or entry.modules else None
        if match:
            yield entry.path, f"is {texts[match.group()]} under another name"


@rule(106)
def headers(subject: Subject) -> Iterator[tuple[str, str]]:
    """No headers, static libraries, object files or pkg-config files.

    Why: only a compiler or a linker reads them, and there is none.
    Example: `MSB106 usr/include/stdio.h: only a compiler or linker reads this`
    Fix: copy the built program, not the folder it was built in.
    """
    yield from _headers(subject, subject.image.tree)


@rule(107)
def sources(subject: Subject) -> Iterator[tuple[str, str]]:
    """No sources, tests, version control data, caches, manifests or lock files of build tools.

    Why: they tell a reader of the image more than it needs, and grow it. What a stack must keep is in stacks.toml.
    Example: `MSB107 app/main.go: only a developer needs this`
    Fix: copy the built program, not the folder it was built in.
    """
    yield from _sources(subject, subject.image.tree)


@rule(108)
def footholds(subject: Subject) -> Iterator[tuple[str, str]]:
    """No shell, package manager or network client, and no link to one.

    Why: most attacks on a service need the next step, and these are it.
    Example: `MSB108 bin/sh: shell, package manager or network client in the runtime image`
    Fix: use exec form for the command and the health check; for a look inside, run the debug target.
    """
    for entry in subject.image.tree:
        target = subject.image.tree.resolve(entry.path) if entry.kind in ("file", "link") else None
        if target and target.program and any(subject.footholds.match(end.name) for end in (entry, target)):
            yield entry.path, "shell, package manager or network client in the runtime image"


@rule(110, Need.BUILD_IMAGE)
def control(subject: Subject) -> Iterator[tuple[str, str]]:
    """The same scan of the build stage finds tools: a silent scan would prove nothing.

    Why: a scan that reads the wrong tree, or nothing, also has no findings.
    Example: `MSB110 build image: MSB101 finds nothing, so its silence on the runtime image proves nothing`
    Fix: name the image of the stage that compiles (`docker build --target build`); if it is that, mend the scan.
    """
    assert subject.build_image  # noqa: S101 the rule's need
    tree = subject.build_image.tree
    scans: dict[str, Callable[[Subject, Tree], Iterator[tuple[str, str]]]] = {
        "MSB101": _tool_names,
        "MSB103": _tool_packages,
        "MSB106": _headers,
        "MSB107": _sources,
    }
    for code, scan in scans.items():
        if next(scan(subject, tree), None) is None:
            yield "build image", f"{code} finds nothing, so its silence on the runtime image proves nothing"


def _tool_names(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    for entry in tree:
        if entry.kind in ("file", "link") and subject.tools.match(entry.name):
            target = tree.resolve(entry.path)
            if target and target.program:
                yield entry.path, "build tool in the runtime image"


def _tool_packages(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    denied = names_like(subject.contract.content.packages)
    for path, package in _packages(tree):
        if denied.match(package):
            yield path, f"package {package} in the runtime image"
    wheels = names_like(subject.contract.content.wheels)
    for entry in tree:
        wheel = _WHEEL.fullmatch(entry.name)
        if wheel and wheels.match(wheel[1].lower().replace("_", "-")):
            yield entry.path, f"Python package {wheel[1]} in the runtime image"


def _headers(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    denied = names_like(subject.contract.content.headers)
    for entry in tree:
        if entry.kind in ("file", "link") and denied.match(entry.name):
            yield entry.path, "only a compiler or linker reads this"


def _sources(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    inside: list[str] = []  # a folder is told once, not every file in it
    for entry in tree:
        if not entry.path.startswith(tuple(inside)) and subject.sources.match(entry.name):
            inside += [f"{entry.path}/"] if entry.kind == "folder" else []
            yield entry.path, "only a developer needs this"


def _packages(tree: Tree) -> Iterator[tuple[str, str]]:
    """(path of the record, package name): Debian's one-file and distroless's many-file records, and Alpine's."""
    for entry in tree:
        if entry.kind != "file":
            continue
        folder, _, name = entry.path.rpartition("/")
        one_each = folder == "var/lib/dpkg/status.d" and not name.endswith(".md5sums")
        if one_each or entry.path == "var/lib/dpkg/status":
            for package in re.findall(rb"^Package: (\S+)", tree.read(entry), re.MULTILINE):
                yield entry.path, package.decode()
        elif entry.path in ("lib/apk/db/installed", "usr/lib/apk/db/installed"):
            for package in re.findall(rb"^P:(\S+)", tree.read(entry), re.MULTILINE):
                yield entry.path, package.decode()


def _checksums(tree: Tree) -> dict[str, set[str]]:
    """Path -> the md5 sums that packages record for it; paths are the real ones, with merged /usr followed."""
    sums: dict[str, set[str]] = {}
    for entry in tree:
        if entry.kind == "file" and entry.path.startswith(_RECORDS) and entry.path.endswith(".md5sums"):
            for line in tree.read(entry).decode("utf-8", "replace").splitlines():
                digest, _, path = line.partition("  ")
                real = tree.resolve(path)
                if real:
                    sums.setdefault(real.path, set()).add(digest)
    return sums


def _wheel_files(tree: Tree) -> set[str]:
    """Paths that the RECORD files of installed wheels list."""
    found = set()
    for entry in tree:
        if entry.name == "RECORD" and entry.path.rpartition("/")[0].endswith(".dist-info"):
            site = entry.path.rsplit("/", 2)[0]
            rows = csv.reader(tree.read(entry).decode("utf-8", "replace").splitlines())
            real = (tree.resolve(f"{site}/{row[0]}") for row in rows if row)
            found |= {file.path for file in real if file}
    return found
