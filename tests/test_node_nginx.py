"""Does nginx serve each framework's site as it should, and does the site work in a real browser?"""

import base64
import gzip
import hashlib
import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import IMAGES
from playwright.sync_api import Browser, Page, expect

from msb import project as projects
from msb.contract import Subject
from msb.contract.service import Answer, Service, running
from msb.engine import Engine
from msb.image import Image
from msb.stacks import ROOT, Matrix, Stack

pytestmark = pytest.mark.parametrize("stack", ["node-nginx"], indirect=True, scope="session")

FRAMEWORKS = {"default": "react", "vue": "vue", "next": "next"}
"""The option sets that are asked here, and the framework of each."""
ASSETS = {"react": "/assets/", "vue": "/assets/", "next": "/_next/static/chunks/"}
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
"""What a browser says when a person follows a link."""
SCREENSHOTS = ROOT / ".out" / "screenshots"


class Site(NamedTuple):
    """A framework's site, and its runtime image."""

    framework: str
    subject: Subject

    def files(self) -> dict[str, bytes]:
        """The site's files: URL path -> content, those for gzip included."""
        tree = self.subject.image.tree
        found = (entry for entry in tree if entry.kind == "file" and entry.path.startswith("srv/"))
        return {entry.path.removeprefix("srv"): tree.read(entry) for entry in found}

    def asset(self, suffix: str = ".js") -> str:
        """The URL path of the largest file with a hash in its name."""
        files = {path: content for path, content in self.files().items() if path.startswith(ASSETS[self.framework])}
        return max((path for path in files if path.endswith(suffix)), key=lambda path: len(files[path]))


@pytest.fixture(scope="session", params=FRAMEWORKS, ids=FRAMEWORKS.get)
def option_set(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def generated(stack: Stack, project: Path, option_set: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated project of the framework; read-only by agreement."""
    if option_set == "default":
        return project
    return projects.render(stack, stack.option_set(option_set).answers, tmp_path_factory.mktemp(option_set))


@pytest.fixture(scope="session")
def site(
    engine: Engine, matrix: Matrix, stack: Stack, generated: Path, option_set: str, request: pytest.FixtureRequest
) -> Iterator[Site]:
    if option_set == "default":
        tag = request.getfixturevalue("runtime")
    else:
        tag = f"{IMAGES}/{stack.name}:{option_set}"
        projects.build(engine, generated, tag=tag, options=projects.UNTESTED)
    with Image(engine, tag) as image:
        yield Site(FRAMEWORKS[option_set], Subject(engine, stack, matrix.contract, image))


@pytest.fixture(scope="session")
def service(site: Site) -> Iterator[Service]:
    """The site as it should be deployed: read-only root, no capabilities, limits."""
    with running(site.subject, locked=True) as service:
        yield service


Serve = Callable[[dict[str, str]], AbstractContextManager[Service]]


@pytest.fixture
def serve(site: Site, tmp_path: Path) -> Serve:
    """Run the site with files mounted over its own: absolute path -> content."""

    @contextmanager
    def start(mounted: dict[str, str]) -> Iterator[Service]:
        volumes = []
        for number, (path, content) in enumerate(mounted.items()):
            file = tmp_path / f"mounted-{number}"
            file.write_text(content, encoding="utf-8")
            file.chmod(0o644)
            volumes.append((str(file), path, "ro"))
        with running(site.subject, locked=True, volumes=volumes) as service:
            yield service

    return start


def exchange(service: Service, request: bytes) -> Answer:
    """Send these bytes on a connection of their own, and read the one answer."""
    with socket.create_connection((service.address, service.port), timeout=5) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection, method=request.partition(b" ")[0].decode("latin-1"))
        response.begin()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())


def asking(path: str, headers: dict[str, str] | None = None, method: str = "GET", body: str = "") -> bytes:
    """A whole request."""
    fields = {"Host": "site.example.com", "Connection": "close", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode("latin-1")


def get(service: Service, path: str, headers: dict[str, str] | None = None) -> Answer:
    return exchange(service, asking(path, headers))


def logged(service: Service) -> list[dict[str, Any]]:
    """The lines on standard output, once nginx has written them."""
    time.sleep(0.2)
    output = subprocess.run([*service.engine.command, "logs", service.name], capture_output=True, check=True).stdout
    return [json.loads(line.decode("utf-8")) for line in output.splitlines()]


# --- headers ---

REFUSED = {
    "a request that is none": (b"nonsense\r\n\r\n", 400),
    "a request without a host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a header with a space in its name": (b"GET / HTTP/1.1\r\nHost: a\r\ntwo words: 1\r\n\r\n", 400),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a path out of the site": (asking("/../../etc/passwd"), 400),
    "an encoded path out of the site": (asking("/%2e%2e/%2e%2e%2fetc/passwd"), 400),
    "a path with a null": (asking("/index.html%00.png"), 400),
    "headers that are too large": (asking("/", {"X-Filler": "x" * 9000}), 400),
    "what is not there": (asking("/missing.json"), 404),
    "what is not there, asked as JSON": (asking("/api/missing", {"Accept": "application/json"}), 404),
    "a method that writes": (asking("/", method="POST", body="x=1"), 405),
    "a method that writes much": (asking("/", method="PUT", body="x" * 5000), 405),
    "a method that echoes": (asking("/", method="TRACE"), 405),
    "a body that is too large": (asking("/", body="x" * 2000), 413),
    "a path that is too long": (asking("/" + "x" * 9000), 414),
    "an encoding that nobody knows": (asking("/", {"Transfer-Encoding": "unknown"}), 501),
    "a version that nobody knows": (b"GET / HTTP/9.1\r\nHost: a\r\n\r\n", 505),
}


def assert_secure(answer: Answer) -> None:
    fields = answer.headers
    policy = {part.split()[0]: part.split()[1:] for part in fields["content-security-policy"].split("; ")}
    assert policy["frame-ancestors"] == policy["object-src"] == ["'none'"]
    assert policy["base-uri"] == policy["form-action"] == ["'self'"]
    assert "unsafe" not in fields["content-security-policy"]
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["referrer-policy"] == "strict-origin-when-cross-origin"
    assert "camera=()" in fields["permissions-policy"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", fields["x-request-id"])
    assert fields["server"] == "nginx"


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_has_the_security_headers_and_is_not_kept(
    service: Service, request_: bytes, status: int
) -> None:
    answer = exchange(service, request_)
    assert answer.status == status
    assert_secure(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("allow") == ("GET, HEAD" if status == 405 else None)
    assert b"root:" not in answer.body


@pytest.mark.parametrize("path", ["/", "/index.html", "/config.json", "/api/notes.json", "/favicon.svg", "/healthz"])
def test_what_is_served_has_the_security_headers(service: Service, path: str) -> None:
    answer = get(service, path)
    assert answer.status == 200
    assert_secure(answer)
    without_body = exchange(service, asking(path, method="HEAD"))
    assert (without_body.status, without_body.body) == (200, b"")
    differs = {"x-request-id", "date"}
    assert {n: v for n, v in without_body.headers.items() if n not in differs} == {
        n: v for n, v in answer.headers.items() if n not in differs
    }


def test_only_behind_tls_browsers_are_told_to_insist_on_it(service: Service) -> None:
    assert "strict-transport-security" not in get(service, "/").headers
    told = get(service, "/", {"X-Forwarded-Proto": "https"}).headers["strict-transport-security"]
    assert int(told.removeprefix("max-age=")) >= 31536000


def test_scripts_in_pages_are_named_by_their_hash_or_absent(site: Site, service: Service) -> None:
    pages = {path: content.decode() for path, content in site.files().items() if path.endswith(".html")}
    header = get(service, "/").headers["content-security-policy"]
    for path, page in pages.items():
        inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", page, re.S)
        meta = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', page)
        if site.framework == "next":
            (policy,) = meta
            hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline}
            assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes, path
            assert "script-src 'self' 'sha256-" in policy
            assert "unsafe" not in policy
            assert page.index("<meta http-equiv") < page.index("<script")
        else:
            assert (inline, meta) == ([], []), path
            assert "default-src 'self'" in header
        assert not re.search(r"<[^>]+\s(on\w+|style)=", page), path


# --- routes ---


def test_a_route_is_a_page_for_a_person(site: Site, service: Service) -> None:
    first = get(service, "/").body
    assert b"<!doctype html>" in first.lower()
    known, unknown = get(service, "/notes?page=1", PAGE), get(service, "/no/such/route", PAGE)
    assert (known.status, known.headers["content-type"]) == (200, "text/html; charset=utf-8")
    if site.framework == "next":
        assert known.body == site.files()["/notes.html"]
        assert (unknown.status, unknown.body) == (404, site.files()["/404.html"])
    else:
        assert known.body == first
        assert (unknown.status, unknown.body) == (200, first)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "image/avif,image/webp,*/*;q=0.8"])
def test_a_route_is_its_page_for_programs_too(service: Service, accept: str) -> None:
    """Link previews and curl accept anything, and are to see what a person sees."""
    answer, page = get(service, "/notes", {"Accept": accept}), get(service, "/notes", PAGE)
    assert (answer.status, answer.body) == (200, page.body)


@pytest.mark.parametrize("path", ["/robots.txt", "/no/such.json", "/favicon.ico", "/app.webmanifest", "/api/missing"])
def test_a_missing_file_is_missing_and_no_page(site: Site, service: Service, path: str) -> None:
    answer = get(service, path, PAGE)
    assert answer.status == 404
    assert answer.body != site.files()["/index.html"]


def test_a_page_of_a_static_generator_comes_before_the_fallback(serve: Serve) -> None:
    with serve({"/srv/about.html": "about", "/srv/docs/index.html": "docs"}) as service:
        assert get(service, "/about").body == b"about"
        if not (get(service, "/docs/").headers.get("location")):  # Next's export has no folders with a page
            assert get(service, "/docs/").body == b"docs"


def test_the_page_of_what_is_not_there_is_not_there_itself(site: Site, service: Service) -> None:
    if site.framework == "next":
        for path in ("/404", "/404.html", "/_not-found"):
            answer = get(service, path, PAGE)
            assert (path, answer.status, answer.body) == (path, 404, site.files()["/404.html"])


def test_a_redirect_keeps_the_path_as_it_was_asked_for(site: Site, service: Service) -> None:
    if site.framework == "next":
        for path in ("/%C3%BCber", "/a%3Fb", "/a%2520b", "/a+b", "/docs/a-b"):
            answer = get(service, f"{path}/?q=%3F", PAGE)
            assert (answer.status, answer.headers["location"]) == (301, f"{path}?q=%3F")


def test_a_missing_asset_is_missing_for_a_person_too_and_never_kept(site: Site, service: Service) -> None:
    answer = get(service, f"{ASSETS[site.framework]}index-00000000.js", PAGE)
    assert (answer.status, answer.headers["cache-control"]) == (404, "no-store")
    assert b"404 Not Found" in answer.body


def test_a_trailing_slash_leads_to_the_page_and_to_no_other_host(site: Site, service: Service) -> None:
    if site.framework == "next":
        answer = get(service, "/notes/?page=1", PAGE)
        assert (answer.status, answer.headers["location"]) == (301, "/notes?page=1")
    for path in ("//evil.example.com/", "/%5Cevil.example.com/", "/\\evil.example.com/", "/%2Fevil.example.com/"):
        location = get(service, path, PAGE).headers.get("location", "/")
        assert re.match(r"/($|[^/\\])", location), path


def test_what_begins_with_a_dot_and_source_maps_are_never_served(serve: Serve) -> None:
    hidden = ["/.env", "/.git/config", "/api/.notes.json", "/assets/index.js.map", "/app.css.map"]
    open_ = "/.well-known/security.txt"
    with serve({f"/srv{path}": "SECRET" for path in [*hidden, open_]}) as service:
        for path in hidden:
            answer = get(service, path, PAGE)
            assert (path, answer.status) == (path, 404)
            assert b"SECRET" not in answer.body
        assert get(service, open_).body == b"SECRET"


# --- caches ---


def test_assets_are_kept_for_a_year_whole_in_part_and_unchanged(site: Site, service: Service) -> None:
    path, kept = site.asset(), "public, max-age=31536000, immutable"
    whole = get(service, path)
    assert (whole.status, whole.body, whole.headers["cache-control"]) == (200, site.files()[path], kept)
    part = get(service, path, {"Range": "bytes=0-9"})
    assert (part.status, part.body, part.headers["cache-control"]) == (206, whole.body[:10], kept)
    unchanged = get(service, path, {"If-None-Match": whole.headers["etag"]})
    assert (unchanged.status, unchanged.body, unchanged.headers["cache-control"]) == (304, b"", kept)


def test_a_part_that_is_not_there_is_not_kept_and_has_each_header_once(site: Site, service: Service) -> None:
    beyond = asking(site.asset(), {"Range": "bytes=999999999-"})
    with socket.create_connection((service.address, service.port), timeout=5) as connection:
        connection.sendall(beyond)
        response = http.client.HTTPResponse(connection)
        response.begin()
        names = [name.lower() for name, _ in response.getheaders()]
    assert (response.status, response.headers["cache-control"]) == (416, "no-cache")
    assert len(names) == len(set(names))
    assert_secure(exchange(service, beyond))


@pytest.mark.parametrize("path", ["/", "/notes", "/favicon.svg", "/api/notes.json"])
def test_what_has_no_hash_in_its_name_is_always_sent_anew(service: Service, path: str) -> None:
    """File times are constant and lengths can be equal, so no validator can be trusted."""
    answer = get(service, path, PAGE)
    assert answer.headers["cache-control"] == "no-cache"
    assert not {"etag", "last-modified", "expires"} & set(answer.headers)
    again = get(service, path, {**PAGE, "If-Modified-Since": answer.headers["date"], "If-None-Match": '"0-0"'})
    assert (again.status, again.body) == (200, answer.body)


def test_a_cached_page_is_replaced_after_a_release_of_the_same_length(serve: Serve, service: Service) -> None:
    before = get(service, "/", PAGE)
    after = before.body.decode().replace("Hello Site", "Other Site")
    conditions = {"If-Modified-Since": before.headers["date"], "If-None-Match": '"0-0"'}
    with serve({"/srv/index.html": after}) as released:
        answer = get(released, "/", {**PAGE, **conditions})
    assert len(answer.body) == len(before.body)
    assert (answer.status, answer.body) == (200, after.encode())


# --- compression ---


@pytest.mark.parametrize("proxy", [{}, {"Via": "1.1 proxy"}], ids=["directly", "behind a proxy"])
def test_the_bytes_on_the_wire_are_the_compressed_file(site: Site, service: Service, proxy: dict[str, str]) -> None:
    files = site.files()
    for path in (site.asset(), site.asset(".css")):
        answer = get(service, path, {"Accept-Encoding": "gzip, br", **proxy})
        assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert answer.body == files[f"{path}.gz"]
        assert gzip.decompress(answer.body) == files[path]
        plain = get(service, path, proxy)
        assert (plain.body, plain.headers["vary"]) == (files[path], "Accept-Encoding")
        assert "content-encoding" not in plain.headers


def test_compressed_files_hold_no_name_and_no_time(site: Site) -> None:
    files = site.files()
    compressed = {path: content for path, content in files.items() if path.endswith(".gz")}
    assert compressed
    for path, content in compressed.items():
        assert (content[3], content[4:8]) == (0, bytes(4)), path  # RFC 1952: flags and time
        assert gzip.decompress(content) == files[path.removesuffix(".gz")]


# --- configuration ---


def test_a_mounted_config_is_what_is_served_whatever_the_client_accepts(serve: Serve, service: Service) -> None:
    assert json.loads(get(service, "/config.json").body) == {"notesUrl": "/api/notes.json"}
    mounted = json.dumps({"notesUrl": "/api/others.json", "filler": "x" * 4000})
    with serve({"/srv/config.json": mounted}) as configured:
        answer = get(configured, "/config.json", {"Accept-Encoding": "gzip"})
    assert (answer.body, answer.headers["cache-control"]) == (mounted.encode(), "no-store")
    assert "content-encoding" not in answer.headers


# --- requests and the log ---


def test_a_request_keeps_its_id_when_it_is_fit_and_else_gets_one(service: Service) -> None:
    def answered(value: str) -> str:
        return get(service, "/", {"X-Request-Id": value}).headers["x-request-id"]

    assert answered("order-7.a_B") == "order-7.a_B"
    for unfit in ("", "two words", 'quoted"', "x" * 65, "ünfit", "a\r\nX-Request-Id: b"):
        assert re.fullmatch("[0-9a-f]{32}", answered(unfit)), unfit


def test_a_line_of_log_says_what_was_asked_and_never_the_query(service: Service) -> None:
    get(service, "/notes?token=SECRET", {**PAGE, "X-Request-Id": "log-1", "Referer": "https://a.example.com/?SECRET"})
    get(service, "/healthz", {"X-Request-Id": "log-2"})
    lines = logged(service)
    assert "SECRET" not in json.dumps(lines)
    assert [line for line in lines if line["request_id"] == "log-2"] == []
    (line,) = (line for line in lines if line["request_id"] == "log-1")
    assert (line["msg"], line["level"], line["method"], line["path"]) == ("request", "INFO", "GET", "/notes")
    assert line["status"] == 200
    assert line["bytes"] > 0
    assert line["duration_s"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", line["time"])


def test_no_request_can_break_the_log(service: Service) -> None:
    for path in ('/"},{"status":1', "/\\", "/%0a%0d{", "/caf\xe9", "/\xff\xfe", "/" + "%22" * 100):
        exchange(service, asking(path))
    exchange(service, b"nonsense\r\n\r\n")
    assert all(line["msg"] == "request" for line in logged(service))


def test_a_client_that_never_ends_its_request_is_let_go(service: Service) -> None:
    with socket.create_connection((service.address, service.port), timeout=20) as connection:
        start = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        with suppress(ConnectionResetError):
            assert connection.recv(1000) == b""
        assert 8 < time.monotonic() - start < 15


@pytest.mark.parametrize("disabled", ["0", "1"], ids=["with IPv6", "without IPv6"])
def test_nginx_listens_on_every_address_that_the_host_has(site: Site, disabled: str) -> None:
    options = {"sysctl": {"net.ipv6.conf.all.disable_ipv6": disabled}}
    with running(site.subject, locked=True, toolbox=True, **options) as service:
        assert service.get("/healthz").status == 200
        asked = service.inside.run(f"wget -q -O - http://[::1]:{service.port}/healthz")
        assert asked.stdout == ("ok\n" if disabled == "0" else "")


def test_http_without_headers_gets_no_answer(service: Service) -> None:
    with socket.create_connection((service.address, service.port), timeout=5) as connection:
        connection.sendall(b"GET /\r\n")
        with suppress(ConnectionResetError):
            assert connection.recv(1000) == b""


# --- what ships ---


def test_nginx_comes_without_modules_and_with_its_libraries_alone(site: Site) -> None:
    code = {entry.path for entry in site.subject.image.tree if entry.elf}
    assert "usr/sbin/nginx" in code
    libraries = {path.rpartition("/")[2].partition(".so")[0] for path in code - {"usr/sbin/nginx"}}
    assert libraries <= {"ld-linux-x86-64", "ld-linux-aarch64", "libc", "libcrypt", "libcrypto", "libm", "libpcre2-8",
                         "libssl", "libz", "libzstd"}  # fmt: skip
    assert not [entry.path for entry in site.subject.image.tree if "module" in entry.path.removeprefix("srv/")]


SPOILED = {
    "not nginx's language": ("nginx/nginx.conf", r"\A", "broken on;\n", r"\[package .*\n.*\[emerg\]"),
    "not this user's to write": ("nginx/nginx.conf", r"pid \S+", "pid /run/nginx.pid;", r"\[package .*\n.*\[emerg\]"),
    "blocked by the policy": (
        "index.html",
        r"(?=</head>)",
        '<link rel="stylesheet" href="https://fonts.example.com/css" />',
        r"policy: index\.html: style-src-elem https://fonts\.example\.com is blocked by .* of nginx\.conf: ",
    ),
}
"""Edits of a project: what the file gets in the place of a pattern, and what the build says."""


@pytest.mark.parametrize(("file", "pattern", "text", "says"), SPOILED.values(), ids=SPOILED)
def test_a_site_that_would_not_be_served_or_not_load_fails_the_build(
    engine: Engine, project: Path, tmp_path: Path, file: str, pattern: str, text: str, says: str
) -> None:
    copy = projects.copy(project, tmp_path / "project")
    spoiled, count = re.subn(pattern, text, (copy / file).read_text())
    assert count == 1
    (copy / file).write_text(spoiled)
    with pytest.raises(projects.BuildError) as refused:
        projects.build(engine, copy, target="package")
    assert re.search(says, refused.value.log), refused.value.log[-2000:]


def test_two_builds_of_one_source_have_one_digest(engine: Engine, generated: Path, tmp_path: Path) -> None:
    again = ["--no-cache-filter=build,package,candidate,runtime"]
    digests = []
    for number, cached in enumerate(([], again)):  # the first is the one that the fixture built
        metadata = tmp_path / f"metadata-{number}"
        output = f"type=oci,dest={tmp_path / 'image.tar'},rewrite-timestamp=true"
        options = (
            *projects.UNTESTED,
            "--provenance=false",
            f"--metadata-file={metadata}",
            f"--output={output}",
            *cached,
        )
        projects.build(engine, generated, options=(*options, "--build-arg=SOURCE_DATE_EPOCH=1767225600"))
        digests.append(json.loads(metadata.read_text())["containerimage.digest"])
    assert digests[0] == digests[1]


# --- in a browser ---


class Visit:
    """A page in a context of its own that remembers what went wrong on it."""

    def __init__(self, page: Page, address: str, name: str) -> None:
        self.page, self.address, self.name = page, address, name
        self.console: list[str] = []
        self.abroad: list[str] = []
        page.on("console", lambda said: self.console.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(address) else self.abroad.append(asked.url))
        page.add_init_script(
            "window.violations = []; addEventListener('securitypolicyviolation', "
            "event => window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`))"
        )

    def go(self, path: str) -> int:
        """Open a path as from the address bar; return the status."""
        response = self.page.goto(self.address + path)
        assert response
        return response.status

    def heading(self, text: str) -> None:
        """Wait for the page's one main heading."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(text)

    def shot(self, name: str) -> None:
        """Keep a picture, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{name}.png")

    def clean(self, *expected: str) -> None:
        """Assert that nothing went wrong but what was expected, by a part of its text."""
        self.page.wait_for_timeout(500)  # for what comes late
        assert [text for text in self.console if not any(part in text for part in expected)] == []
        assert all(any(part in text for text in self.console) for part in expected)
        assert self.page.evaluate("window.violations") == []
        assert self.abroad == []


Open = Callable[[Service], Visit]


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Open]:
    contexts = []

    def visit(service: Service) -> Visit:
        context = browser.new_context(viewport={"width": 1000, "height": 640}, color_scheme="light")
        contexts.append(context)
        context.set_default_timeout(10_000)
        return Visit(context.new_page(), f"http://{service.address}:{service.port}", site.framework)

    yield visit
    for context in contexts:
        context.close()


def test_the_first_page_renders(opened: Open, service: Service) -> None:
    visit = opened(service)
    assert visit.go("/") == 200
    visit.heading("Notes, kept.")
    expect(visit.page).to_have_title(re.compile("Hello Site"))
    for role in ("banner", "navigation", "main", "contentinfo"):
        expect(visit.page.get_by_role(role)).to_be_visible()
    visit.shot("home")
    visit.clean()


def test_a_link_opens_its_route_without_a_new_page(opened: Open, service: Service) -> None:
    visit = opened(service)
    visit.go("/")
    visit.heading("Notes, kept.")
    visit.page.evaluate("window.same = true")
    visit.page.get_by_role("navigation").get_by_role("link", name="Notes").click()
    visit.heading("Notes")
    expect(visit.page.get_by_role("main").get_by_role("listitem")).to_have_count(3)
    assert visit.page.url == f"{visit.address}/notes"
    assert visit.page.evaluate("window.same") is True
    visit.shot("notes")
    visit.page.go_back()
    visit.heading("Notes, kept.")
    visit.clean()


def test_a_deep_link_survives_a_reload(opened: Open, service: Service) -> None:
    visit = opened(service)
    assert visit.go("/notes") == 200
    visit.heading("Notes")
    visit.page.reload()
    visit.heading("Notes")
    expect(visit.page.get_by_role("main").get_by_role("listitem")).to_have_count(3)
    visit.clean()


def test_an_unknown_route_says_so(opened: Open, site: Site, service: Service) -> None:
    visit = opened(service)
    status = visit.go("/no/such/route")
    visit.heading("Page not found")
    visit.shot("not-found")
    if site.framework == "next":
        assert status == 404
        visit.clean("status of 404")
    else:
        assert status == 200
        visit.clean()


def test_a_person_is_told_when_the_api_fails_and_can_try_again(opened: Open, serve: Serve) -> None:
    with serve({"/srv/config.json": '{"notesUrl": "/api/missing"}'}) as service:
        visit = opened(service)
        visit.go("/notes")
        expect(visit.page.get_by_role("main").get_by_role("alert")).to_contain_text(
            "/api/missing answered with status 404"
        )
        visit.shot("api-error")
        visit.page.route("**/api/missing", lambda route: route.fulfill(json=[{"id": "1", "text": "It works again."}]))
        visit.page.get_by_role("button", name="Try again").click()
        expect(visit.page.get_by_text("It works again.")).to_be_visible()
        visit.clean("status of 404")


def test_a_mounted_config_changes_where_the_notes_are_from(opened: Open, serve: Serve) -> None:
    other = json.dumps([{"id": "a", "text": "From the other address."}])
    with serve({"/srv/config.json": '{"notesUrl": "/api/other.json"}', "/srv/api/other.json": other}) as service:
        visit = opened(service)
        visit.go("/notes")
        expect(visit.page.get_by_text("From the other address.")).to_be_visible()
        visit.clean()


@pytest.mark.parametrize("broken", ["{", "[]", '{"notesUrl": 7}', ""])
def test_a_broken_config_gives_a_message_and_no_blank_page(opened: Open, serve: Serve, broken: str) -> None:
    with serve({"/srv/config.json": broken}) as service:
        visit = opened(service)
        visit.go("/notes")
        visit.heading("This site is not set up correctly")
        expect(visit.page.get_by_role("main").get_by_role("alert")).to_contain_text("/config.json")
        visit.shot("broken-config")
        visit.clean()


def test_the_site_is_usable_on_a_phone_and_in_the_dark(opened: Open, service: Service) -> None:
    visit = opened(service)
    visit.page.set_viewport_size({"width": 360, "height": 640})
    visit.page.emulate_media(color_scheme="dark")
    visit.go("/notes")
    visit.heading("Notes")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    visit.shot("phone-dark")
    visit.clean()
