"""What go.mod and the sources of a Go service say."""

import re
from pathlib import PurePosixPath

from msb.adopt.found import Found, Project, health_path, port_of
from msb.errors import MsbError

BUILDER = (1, 27)
"""The Go of the template's builder; `GOTOOLCHAIN=local` fetches no other."""
PREFERRED = ("server", "api", "app", "web", "serve", "service")
CGO = {
    "github.com/mattn/go-sqlite3": "modernc.org/sqlite",
    "github.com/confluentinc/confluent-kafka-go": "github.com/twmb/franz-go",
}
"""Modules that are nothing without C, and what does the same in Go."""


def read(project: Project) -> Found:
    """Read a Go module; raise MsbError where it needs C or a newer Go, or has no command."""
    manifest = project.text("go.mod")
    module = _field(manifest, "module")
    if not module:
        raise MsbError("go.mod: has no line `module`, for example module github.com/acme/orders")
    version = _field(manifest, "go") or "1.0"
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) > BUILDER:
        raise MsbError(f"go.mod: go {version} is newer than the builder's {'.'.join(map(str, BUILDER))}")
    files = [name for name in project.files(".go") if name != "docker/probe.go"]  # adopt's own
    sources = {name: project.text(name) for name in files if not name.endswith("_test.go")}
    _refuse_cgo(manifest, sources)
    mains = sorted({str(PurePosixPath(name).parent) for name, text in sources.items() if _is_main(text)})
    if not mains:
        raise MsbError("go.mod: the module has no command: no file says `package main` and `func main()`")
    last = PurePosixPath(re.sub(r"/v\d+$", "", module)).name
    main = min(mains, key=lambda path: (_rank(path, last), path))
    found = Found("go", f"Go {version}: {module}, the command {_package(main)}")
    found.answers |= {"project_name": last} | _module(module)
    found.args["MAIN"] = _package(main)
    if len(mains) > 1:
        others = ", ".join(_package(path) for path in mains if path != main)
        found.note("Dockerfile", "ARG MAIN=", f"MAIN, the command that serves: also there: {others}")
    found.args["TEST"] = "go test -race ./..." if len(files) > len(sources) else "echo 'no tests'"
    own = "".join(text for name, text in sources.items() if str(PurePosixPath(name).parent) == main)
    if '"healthcheck"' not in own:
        found.probe = health_path(sources.values())
        if not found.probe:
            found.note(
                "Dockerfile",
                "HEALTHCHECK",
                "the path that tells the service's health: none was found, so a connection is enough; with one, "
                'CMD ["/app/probe", "/healthz"]',
            )
    _port(found, own, "".join(sources.values()))
    _manifests(project, found, manifest)
    for name, text in sources.items():
        for pattern in re.findall(r"^//go:embed +(?:all:)?([\w./-]+)", text, re.M):
            if not (project.folder / PurePosixPath(name).parent / pattern).exists():
                found.note(
                    name,
                    f"//go:embed {pattern}",
                    f"embeds {pattern}, which is not there: make it before `docker build`",
                )
    return found


def _field(manifest: str, name: str) -> str:
    match = re.search(rf'^{name}\s+"?([^\s"]+)', manifest, re.M)
    return match[1] if match else ""


def _is_main(text: str) -> bool:
    ignored = re.search(r"^//go:build\s+(ignore|tools)\b|^// \+build ignore", text, re.M)
    return not ignored and bool(re.search(r"^package main\b", text, re.M) and re.search(r"^func main\(\)", text, re.M))


def _rank(path: str, last: str) -> int:
    name = PurePosixPath(path).name
    if path == ".":
        return 0
    return 1 if name == last else 2 + PREFERRED.index(name) if name in PREFERRED else 20 + path.count("/")


def _package(path: str) -> str:
    return "." if path == "." else f"./{path}"


def _module(module: str) -> dict[str, str]:
    """The module path as an answer, where it is an address; a name such as `orders` is no source."""
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/[\w.~-]+)+", module):
        return {}
    return {"go_module": module, "__source": "https://" + re.sub(r"/v\d+$", "", module)}


def _refuse_cgo(manifest: str, sources: dict[str, str]) -> None:
    for number, line in enumerate(manifest.splitlines(), 1):
        for name, instead in CGO.items():
            if re.search(rf"\b{re.escape(name)}(/v\d+)?\s+v", line) and "// indirect" not in line:
                raise MsbError(
                    f"go.mod:{number}: {name} needs cgo, and the image has no C library: use {instead} in its place"
                )
    for name, text in sources.items():
        optional = re.search(r"^//go:build\b.*\bcgo\b", text, re.M)
        used = re.search(r'^import "C"|^\t"C"$', text, re.M)
        if used and not optional:
            number = text.count("\n", 0, used.start()) + 1
            raise MsbError(
                f'{name}:{number}: import "C" needs cgo, and the image has no C library: build it '
                "without, or start from the template, whose README says how"
            )


def _port(found: Found, own: str, every: str) -> None:
    patterns = (r'"[\w.]*:(\d{2,5})"', r"(?i)port\D{1,20}(\d{4,5})\b")
    port = next(filter(None, (port_of(text, pattern) for pattern in patterns for text in (own, every))), "")
    found.answers["port"] = port or "8080"
    named = re.search(r'"((?:[A-Z0-9]+_)*(?:PORT|ADDR|ADDRESS|LISTEN)(?:_NUMBER)?)"', every)
    if named and named[1] != "PORT":
        found.note(
            "Dockerfile",
            "ENV PORT=",
            f"the address: the service reads it from {named[1]}, not from PORT: set that too, beside PORT",
        )
    elif not port:
        found.note("Dockerfile", "ENV PORT=", "the port: none was found in the sources, so 8080 stands there")


def _manifests(project: Project, found: Found, manifest: str) -> None:
    names = ["go.mod"]
    for local in re.findall(r"=>\s+(\.\.?/\S+|\.\.?)\s*(?://.*)?$", manifest, re.M):
        path = PurePosixPath(local)
        if ".." in path.parts:
            raise MsbError(
                f"go.mod: replace => {local} is outside of the folder, which is all that a build sees: "
                "adopt the folder above"
            )
        names.append(str(path / "go.mod"))
    found.mounts["go.mod"] = names
