"""8xx: programs that can run where the image says, and what they find there."""

import re
from collections.abc import Iterator

from msb import elf
from msb.contract.ownership import Owners
from msb.contract.rules import Subject, names_like, rule
from msb.elf import Elf
from msb.errors import SkippedError
from msb.image import Entry, Tree
from msb.stacks import ANY

_MACHINES = {
    "386": 3, "amd64": 62, "arm": 40, "arm64": 183, "loong64": 258, "mips64le": 8, "ppc64le": 21, "riscv64": 243,
    "s390x": 22,
}  # fmt: skip
_NAMES = {number: name for name, number in _MACHINES.items()}
_OF_THE_KERNEL = 247  # BPF, which runs on every machine
_FOLDERS = ("lib", "usr/lib", "lib64", "usr/lib64", "usr/local/lib")
_MULTIARCH = {3: "i386-linux-gnu", 62: "x86_64-linux-gnu", 40: "arm-linux-gnueabihf", 183: "aarch64-linux-gnu",
              21: "powerpc64le-linux-gnu", 243: "riscv64-linux-gnu", 22: "s390x-linux-gnu"}  # fmt: skip
_GO = re.compile(rb"\xff Go buildinf:")
_ROOTS = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/ca-bundle.pem",
          "etc/ssl/cert.pem")  # fmt: skip
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----")
_ZONES = "usr/share/zoneinfo"


@rule(801)
def machine(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every ELF file is for the processor of the image's platform.

    Why: an image for arm64 with one library for amd64 is pulled and started, and fails where that file is first used.
    It comes from a build stage that runs on one platform and copies to the other.
    Example: `MSB801 app/server: is for amd64, not for linux/arm64`
    Fix: compile for `$TARGETARCH`, or drop `--platform=$BUILDPLATFORM` from the stage that the file comes from.
    """
    platform = subject.image.platform
    wanted = _MACHINES.get(platform.split("/")[1] if "/" in platform else "")
    if wanted is None:
        raise SkippedError("needs the platform of an image: a root file system does not say one")
    for entry, found in _elves(subject.image.tree):
        if found.machine not in (wanted, _OF_THE_KERNEL):
            name = _NAMES.get(found.machine, f"machine {found.machine}")
            yield entry.path, f"is for {name}, not for {platform}"


@rule(802)
def libraries(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every shared library that an ELF file needs, and the loader of every program, are in the image.

    Why: without one the program does not start, and a plugin fails when it is first asked for. A program's libraries
    are looked for as the loader does (rpath, runpath, LD_LIBRARY_PATH, ld.so.conf, the usual folders). A plugin may
    also find one that its program has loaded before, so for it any library of that name will do.
    Example: `MSB802 usr/sbin/nginx: needs libpcre2-8.so.0, which is not in the image`
    Fix: name the program to docker/bundle, which copies what it loads. What a library can do without is allowed by its
    path, with the reason, as in docker/optional.txt.
    """
    yield from _Loader(subject).missing()


@rule(803)
def hardened(subject: Subject) -> Iterator[tuple[str, str]]:
    """What the build compiled has no executable stack, is position-independent, and its links become read-only.

    Why: these are what turns an overflow in machine code into a crash, and not into somebody else's code; a compiler's
    defaults have all three, so one that is missing was switched off. What the build compiled is what its own records
    list (usr/share/built). Machine code of packages is their distribution's decision. Go's own needs no more than the
    stack: the language checks its bounds, and a static position-independent program would need a C toolchain.
    Example: `MSB803 app/server: has an executable stack: link with -z noexecstack`
    Fix: compile with `-fPIE`, and link with `-pie -z relro -z noexecstack`: drop the flags that say otherwise.
    """
    tree = subject.image.tree
    owners = Owners(tree)
    made = [(entry, found) for entry, found in _elves(tree) if owners.made(entry)]
    if not made and subject.stack.name == ANY:
        raise SkippedError("needs a record of what the build compiled (usr/share/built)")
    for entry, found in made:
        if found.stack:
            yield entry.path, "has an executable stack: link with -z noexecstack"
        fixed, writable = found.kind == elf.EXECUTABLE, found.dynamic and not found.relro
        if (fixed or writable) and tree.search(entry, _GO):
            continue
        if fixed:
            yield entry.path, "is at a fixed address: compile with -fPIE and link with -pie"
        if writable:
            yield entry.path, "keeps its links writable: link with -z relro"


@rule(804)
def surroundings(subject: Subject) -> Iterator[tuple[str, str]]:
    """There are certificate authorities' roots where TLS libraries look, and time zones.

    Why: without roots every connection to another service fails, without zones every named one does, and both first
    where they are needed. Without a stack nobody has said that the service asks for either.
    Example: `MSB804 etc/ssl/certs/ca-certificates.crt: there are no roots for TLS`
    Fix: leave those of the base as they are.
    """
    if subject.stack.name == ANY:
        raise SkippedError("needs --stack, which says what the service is")
    tree = subject.image.tree
    said = subject.image.env.get("SSL_CERT_FILE", "").lstrip("/")
    places = [said] if said else list(_ROOTS)
    if not any((entry := tree.resolve(place)) and tree.search(entry, _CERTIFICATE) for place in places):
        yield places[0], "there are no roots for TLS"
    zone = tree.resolve(f"{_ZONES}/Etc/UTC")
    if not zone or zone.head != b"TZif":
        yield _ZONES, "there are no time zones"


def _elves(tree: Tree) -> list[tuple[Entry, Elf]]:
    """Every ELF file of a tree that a loader could read; hard links of one too."""
    found = []
    for entry in tree:
        if entry.elf:
            with tree.archive.open(entry) as stream:
                if read := elf.read(stream):
                    found.append((entry, read))
    return found


class _Loader:
    """What loaders of a C library would find in a tree."""

    def __init__(self, subject: Subject) -> None:
        self._tree = subject.image.tree
        self._elves = {entry.path: found for entry, found in _elves(self._tree)}
        named = ((path.rpartition("/")[2], found) for path, found in self._elves.items())
        linked = (
            (entry.name, self._elves[real.path])
            for entry in self._tree
            if entry.kind == "link" and (real := self._tree.resolve(entry.path)) and real.path in self._elves
        )
        names = [*named, *linked, *((found.soname, found) for found in self._elves.values())]
        self._there = {(name, found.machine) for name, found in names}
        path = subject.image.env.get("LD_LIBRARY_PATH", "")
        self._first = [folder for folder in re.split("[:;]", path) if folder]
        self._configured = list(self._configuration("etc/ld.so.conf", 0))

    def missing(self) -> Iterator[tuple[str, str]]:
        """(path of a file, what it needs and does not find), each once."""
        loaded: set[str] = set()
        told = set()
        for path, program in self._elves.items():
            if not program.interpreter.startswith("/"):  # a library, or debugging data without content
                continue
            if not self._tree.resolve(program.interpreter):
                loaded.add(path)
                yield path, f"needs the loader {program.interpreter}, which is not in the image"
                continue
            for lacks, name in self._load(path, loaded):
                if (lacks, name) not in told:
                    told.add((lacks, name))
                    yield lacks, f"needs {name}, which is not in the image"
        for path, library in self._elves.items():
            if path in loaded:
                continue
            for name in library.needed:
                if (name, library.machine) not in self._there and not self._find(name, path, ()):
                    yield path, f"needs {name}, which is not in the image"

    def _load(self, program: str, loaded: set[str]) -> Iterator[tuple[str, str]]:
        """Load a program with all that it needs, noting the paths; (path, name) for what is not found."""
        known: set[str] = set()
        pending: list[tuple[str, tuple[str, ...]]] = [(program, ())]
        while pending:
            path, inherited = pending.pop(0)
            loaded.add(path)
            here = self._elves[path]
            own = () if here.runpath else tuple(_origin(folder, path) for folder in here.rpath)
            for name in here.needed:
                if name in known:
                    continue
                known.add(name)
                found = self._find(name, path, inherited)
                if found is None:
                    yield path, name
                else:
                    known |= {found.rpartition("/")[2], self._elves[found].soname}
                    pending.append((found, inherited + own))

    def _find(self, name: str, path: str, inherited: tuple[str, ...]) -> str | None:
        """The path of the library that the file at `path` gets by that name."""
        here = self._elves[path]
        if "/" in name:
            places = [name]
        else:
            own = [_origin(folder, path) for folder in here.rpath if not here.runpath]
            run = [_origin(folder, path) for folder in here.runpath]
            usual = [f"{folder}/{_MULTIARCH[here.machine]}" for folder in _FOLDERS[:2] if here.machine in _MULTIARCH]
            folders = [*own, *inherited, *self._first, *run, *self._configured, *usual, *_FOLDERS]
            places = [f"{folder}/{name}" for folder in folders]
        for place in places:
            real = self._tree.resolve(place)
            if real and real.path in self._elves and self._elves[real.path].machine == here.machine:
                return real.path
        return None

    def _configuration(self, pattern: str, depth: int) -> Iterator[str]:
        """The folders that ld.so.conf lists, and those of the files that it includes."""
        names = names_like([pattern.lstrip("/")])
        for entry in [each for each in self._tree if names.match(each.path)] if depth < 3 else ():
            for line in (self._tree.text(entry.path) or "").splitlines():
                if line.startswith("include "):
                    yield from self._configuration(line.split()[1], depth + 1)
                elif line.startswith("/"):
                    yield line.split()[0]


def _origin(folder: str, path: str) -> str:
    """A folder of rpath or runpath, with $ORIGIN as the folder of the file that says it."""
    here = "/" + path.rpartition("/")[0]
    return re.sub(r"\$(?:ORIGIN|\{ORIGIN\})", lambda _: here, folder)
