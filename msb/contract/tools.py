"""1xx: no build tools, and nothing that only a build needs."""

import re
from collections.abc import Callable, Iterator

from msb.contract.inside import Archives
from msb.contract.ownership import Owners
from msb.contract.records import packages
from msb.contract.rules import Need, Sees, Subject, names_like, rule
from msb.image import Entry, Tree
from msb.stacks import ANY
from msb.tree import Content, Merged, hidden

_WHEEL = re.compile(r"([^-]+)(?:-.*)?\.(?:dist|egg)-info")
_LIBRARY = re.compile(r"\.so(\.|$)")
_UNOWNED = "belongs to no package and is in no record of the build"
_DIFFERS = "differs from what its record says"
_ARCHIVE = b"PK\x03\x04"
_SMALLEST = 22  # bytes of an archive without members


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
        named = _named(subject.tools, entry)  # then it is rule 101's
        if target and target.program and _named(subject.tools, target) and not named:
            yield entry.path, f"link to the build tool {target.path}"


@rule(103)
def tool_packages(subject: Subject) -> Iterator[tuple[str, str]]:
    """No package record names a compiler, a package manager, a shell, a utility or a development package.

    Why: the record says that the package's files came along, or lies to scanners about it. Debian packages are judged
    by their section, which says what they are for, and by name; Python packages by name.
    Example: `MSB103 var/lib/dpkg/status.d/gcc-14: package gcc-14 in the runtime image`
    Fix: bundle the one library that is needed (docker/bundle), not its whole package.
    """
    yield from _tool_packages(subject, subject.image.tree)


@rule(104)
def owned_programs(subject: Subject) -> Iterator[tuple[str, str]]:
    """Every ELF file and every script is owned by a record of its checksum, wherever it is.

    Why: scanners see packages, not files; a program that nobody owns is one that nobody patches, and the place where a
    tool hides under another name. The records are those of Debian packages (md5sums, and the checksums of configuration
    files in dpkg's status), of Python wheels (RECORD), and of what the build itself compiled, linked or took from its
    base (usr/share/built/*.sha256). Scripts of recorded packages in var/lib/dpkg/info are dpkg's own. The base's one
    script that is in no record is named in stacks.toml by its path. Without a stack, the entrypoint's program is the
    service.
    Example: `MSB104 usr/lib/libz.so.1: belongs to no package and is in no record of the build`
    Fix: name the file to docker/bundle, which writes its package's record, or one for what the build made.
    """
    owners = Owners(subject.image.tree)
    for entry in subject.image.tree:
        if entry.program and not _known(subject, entry) and not owners.own(entry):
            yield entry.path, _DIFFERS if owners.claim(entry) else _UNOWNED


@rule(105)
def tool_fingerprints(subject: Subject) -> Iterator[tuple[str, str]]:
    """No machine code, Java runtime or archive holds the text that gives a build tool or a shell away, under any name.

    Why: renaming a compiler does not disarm it, and Java's is a module; others are a jar or a zipapp, and need no
    program of their own. The texts are stacks.toml's fingerprints and members.
    Example: `MSB105 app/data: is gcc under another name`
    Fix: remove the file. Where the service needs it (janino for a logging library), allow it by path, with the reason.
    """
    for entry in subject.image.tree:
        if tool := _given_away(subject, subject.image.tree.archive, entry):
            yield entry.path, f"is {tool} under another name"


@rule(106)
def headers(subject: Subject) -> Iterator[tuple[str, str]]:
    """No headers, static libraries, object files or pkg-config files, except a package's own.

    Why: only a compiler or a linker reads them, and there is none. What a package's record lists is that package's
    content, and files that are served to visitors (a stack's `webroot`) are whatever the site needs.
    Example: `MSB106 usr/include/stdio.h: only a compiler or linker reads this`
    Fix: copy the built program, not the folder it was built in.
    """
    yield from _headers(subject, subject.image.tree)


@rule(107)
def sources(subject: Subject) -> Iterator[tuple[str, str]]:
    """No sources, tests, version control data, caches, manifests or lock files of build tools, except a package's own.

    Why: they tell a reader of the image more than it needs, and grow it. What a stack must keep is in stacks.toml. What
    a package's record lists is that package's content; a folder is told once, and not when all in it is. Where files
    are served to visitors (a stack's `webroot`), only source maps, secrets, version control data and package folders
    count.
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
        if target and target.program and any(_named(subject.footholds, end) for end in (entry, target)):
            yield entry.path, "shell, package manager or network client in the runtime image"


@rule(109, sees=Sees.LAYERS)
def earlier_layers(subject: Subject) -> Iterator[tuple[str, str]]:
    """Nothing denied is in any layer, also if a later layer deletes or replaces it.

    Why: whoever pulls the image has it all the same, and can run it; and its bytes are stored and sent each time. A
    program that is gone must have been owned (MSB104) by a record of its layer or of one below it.
    Example: `MSB109 usr/bin/gcc (layer 2): build tool, which a later layer hides`
    Fix: make it in another stage, and copy only the result; what one layer adds, the next cannot take back.
    """
    tree, content = subject.image.tree, subject.contract.content
    owners, archives = Owners(tree), Archives(subject)
    headers, served = names_like(content.headers), names_like(content.served)
    layers = subject.image.layers
    then: dict[int, tuple[Tree, Owners]] = {}
    for number, (layer, gone) in enumerate(zip(layers, hidden(layers), strict=True), 1):
        for entry in layer.archive.entries.values():
            seen = entry.path not in gone and tree.looks(entry)
            if entry.kind != "file" or entry.name.startswith(".wh.") or seen:
                continue
            tool = _given_away(subject, layer.archive, entry)
            inside = _served(subject, entry)
            what = ""
            if entry.program and _named(subject.tools, entry):
                what = "build tool"
            elif entry.program and _named(subject.footholds, entry):
                what = "shell, package manager or network client"
            elif tool:
                what = f"is {tool} under another name"
            elif not owners.claim(entry) and not inside and headers.match(entry.name):
                what = "only a compiler or linker reads this"
            elif not (owners.claim(entry) or _video(entry)) and (served if inside else subject.sources).match(
                entry.name
            ):
                what = "only a developer needs this"
            found = [(entry.path, what)] if what else list(_inside(archives, layer.archive, entry, inside, owners))
            judged = found or not entry.program or _known(subject, entry)
            if not judged and not tree.keeps(layer.archive, entry):
                if number not in then:  # with the records of that time: a later layer may replace them too
                    below = Tree(Merged(each.archive for each in layers[:number]), 0)
                    then[number] = below, Owners(below)
                real = then[number][0].resolve(entry.path)
                found = [] if real and then[number][1].own(real) else [(entry.path, _UNOWNED)]
            for where, told in found:
                yield f"{where} (layer {number})", f"{told}, which a later layer hides"


@rule(110, Need.BUILD_IMAGE)
def control(subject: Subject) -> Iterator[tuple[str, str]]:
    """The same scan of the build stage finds tools: a silent scan would prove nothing.

    Why: a scan that reads the wrong tree, or nothing, also has no findings.
    Example: `MSB110 build image: MSB101 finds nothing, so its silence on the runtime image proves nothing`
    Fix: name the image of the stage that compiles (`docker build --target build`); if it is that, fix the scan.
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


@rule(111, sees=Sees.LAYERS)
def inside_archives(subject: Subject) -> Iterator[tuple[str, str]]:
    """No archive, inside another too, and none unpacked, brings a compiler, an engine, an installer or a program.

    Why: a jar needs no program to compile or to run scripts, and a zip is one call away from a tool. Maven coordinates,
    names of modules, bundles and Python packages, paths of classes, and machine code and scripts inside are looked at,
    in zip and tar archives and in what gzip, bzip2, xz and Zstandard pack, whatever they are called. What rule 105 has
    told of a file is not repeated. Of archives that a record owns or that are served, programs under names of their
    own are content.
    Example: `MSB111 app/app.jar!/BOOT-INF/lib/janino-3.1.jar: brings janino`
    Fix: drop the dependency, or give it a scope that does not ship. Where the service needs it, allow that place with
    the reason: `allow MSB111 /app/app.jar!/BOOT-INF/lib/janino-*.jar conditions of logback.xml`.
    """
    tree = subject.image.tree
    archives, owners = Archives(subject), Owners(tree)
    for entry in tree:
        if entry.kind == "file":
            found = list(_inside(archives, tree.archive, entry, _served(subject, entry), owners))
            known = f"brings {_given_away(subject, tree.archive, entry)}" if found else ""
            yield from ((where, what) for where, what in found if what != known)


def _inside(
    archives: Archives, archive: Content, entry: Entry, served: bool, owners: Owners
) -> Iterator[tuple[str, str]]:
    """What a file brings, by its place, and as an archive."""
    for tool in archives.unpacked(entry, lambda: next(archive.blocks(entry), b"")):
        yield entry.path, f"brings {tool}"
    if entry.size >= _SMALLEST:
        with archive.open(entry) as stream:
            owned = served or owners.claim(entry)
            yield from archives.brought(stream, entry.size, entry.path, owned=owned)


def _given_away(subject: Subject, archive: Content, entry: Entry) -> str:
    """Return the tool that a program, a Java runtime or an archive holds the text of, or ""."""
    packed = entry.head == _ARCHIVE or entry.head.startswith(b"#!")
    if not (packed or entry.elf or entry.modules):
        return ""
    content, permits = subject.contract.content, subject.stack.permits
    told = content.members if packed else content.fingerprints
    texts = {text.encode(): name for name, text in told.items() if name not in permits}
    found = archive.first(entry, texts)
    return texts[found] if found else ""


def _known(subject: Subject, entry: Entry) -> bool:
    """Whether a program is the base's script that is in no record, or, without a stack, the service."""
    image = subject.image
    if subject.stack.name == ANY and image.command:
        service = image.tree.which(image.command[0], image.env.get("PATH", ""))
        if service and service.path == entry.path:
            return True
    return not entry.elf and f"/{entry.path}" in subject.contract.content.scripts


def _named(tools: re.Pattern[str], entry: Entry) -> bool:
    """Whether a program is called like one of them; a shared library is called as it likes."""
    return bool(tools.match(entry.name)) and not _LIBRARY.search(entry.name)


def _tool_names(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    for entry in tree:
        if entry.kind in ("file", "link") and _named(subject.tools, entry):
            target = tree.resolve(entry.path)
            if target and target.program:
                yield entry.path, "build tool in the runtime image"


def _tool_packages(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    content = subject.contract.content
    denied, sections = names_like(content.packages), names_like(content.sections)
    for path, package, section in packages(tree):
        if denied.match(package) or (sections.match(section) and package not in content.carried):
            yield path, f"package {package} in the runtime image"
    wheels = names_like(content.wheels)
    for entry in tree:
        wheel = _WHEEL.fullmatch(entry.name)
        if wheel and wheels.match(re.sub(r"[-_.]+", "-", wheel[1].lower())):
            yield entry.path, f"Python package {wheel[1]} in the runtime image"


def _headers(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    denied = names_like(subject.contract.content.headers)
    owners = Owners(tree)
    for entry in tree:
        if (
            entry.kind in ("file", "link")
            and denied.match(entry.name)
            and not _served(subject, entry)
            and not (_content(owners, tree, entry))
        ):
            yield entry.path, "only a compiler or linker reads this"


def _sources(subject: Subject, tree: Tree) -> Iterator[tuple[str, str]]:
    owners = Owners(tree)
    served = names_like(subject.contract.content.served)
    denied = {
        entry.path: entry
        for entry in tree
        if (served if _served(subject, entry) else subject.sources).match(entry.name)
        and not _video(tree.resolve(entry.path))
    }
    folders = {path: set[bool]() for path, entry in denied.items() if entry.kind == "folder"}
    for entry in tree if folders else ():
        around = [folder for folder in _above(entry.path) if folder in folders] if entry.kind == "file" else []
        own = bool(around) and owners.own(entry)
        for folder in around:
            folders[folder].add(own)
    left = {
        path
        for path, entry in denied.items()
        if not (folders[path] == {True} if entry.kind == "folder" else _content(owners, tree, entry))
    }
    for path in (path for path in denied if path in left):
        if not any(folder in left and folder in folders for folder in _above(path)):  # told with its folder
            yield path, "only a developer needs this"


def _served(subject: Subject, entry: Entry) -> bool:
    return f"/{entry.path}".startswith(tuple(subject.stack.webroot))


def _video(entry: Entry | None) -> bool:
    """Whether it is a segment of a video (MPEG-TS, of which the first packet is a table), not TypeScript."""
    return entry is not None and entry.name.endswith(".ts") and entry.head.startswith(b"G@")


def _content(owners: Owners, tree: Tree, entry: Entry) -> bool:
    """Whether it is, or leads to, a file that a package's record lists."""
    real = tree.resolve(entry.path)
    return real is not None and owners.own(real)


def _above(path: str) -> Iterator[str]:
    """The folders that a path is in, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path
