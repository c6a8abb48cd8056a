"""node-nginx's docker/policy: what it says of a built site and its Content-Security-Policy."""

import subprocess
from pathlib import Path

import pytest

from msb.stacks import ROOT

POLICY = ROOT / "templates" / "node-nginx" / "{{cookiecutter.__folder}}" / "docker" / "policy"
DEFAULT = "default-src 'self'; img-src 'self' data:"
ALERT = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"


def asked(folder: Path, site: dict[str, str], policy: str = DEFAULT, comments: str = "") -> list[str]:
    """What is blocked, each as the kind and the source."""
    for name, content in site.items():
        path = folder / "srv" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "nginx.conf").write_text(f'{comments}\n    add_header Content-Security-Policy "{policy}" always;\n')
    command = ["node", POLICY, folder / "nginx.conf", folder / "srv"]
    result = subprocess.run(command, capture_output=True, text=True)
    lines = result.stderr.splitlines()
    assert result.returncode == int(bool(lines)), result.stderr
    assert all(
        line.startswith("policy: ") and " is blocked by the Content-Security-Policy of " in line for line in lines
    )
    return [" ".join(line.split()[2:4]) for line in lines]


@pytest.mark.parametrize(
    ("html", "blocked"),
    [
        ('<link rel=stylesheet href="https://fonts.example.com/css?a=1&amp;b=2">', "style-src-elem https://fonts.example.com"),
        ('<script src="//cdn.example.com/x.js"></script>', "script-src-elem https://cdn.example.com"),
        ('<img alt="a > b" src="http://img.example.com:8080/x.png">', "img-src http://img.example.com:8080"),
        ('<base href="https://cdn.example.com/"><img src=x.png>', "img-src https://cdn.example.com"),
        ('<iframe src="https://video.example.com"></iframe>', "frame-src https://video.example.com"),
        ("<script>alert(1)</script>", f"script-src-elem {ALERT}"),
        ('<p style="color: red">', "style-src-attr 'unsafe-inline'"),
        ('<body onload="start()">', "script-src-attr 'unsafe-inline'"),
        ("<link rel=stylesheet href=data:text/css,>", "style-src-elem data:"),
        ("<link rel=stylesheet href=/a.css>", "font-src data:"),
        ("<link rel=stylesheet href=/b/b.css>", "font-src data:"),
    ],
)  # fmt: skip
def test_what_a_page_loads_and_its_policy_blocks_is_named(tmp_path: Path, html: str, blocked: str) -> None:
    font = "@font-face { font-family: a; src: url(data:font/woff2;base64,AA) format('woff2'); }"
    assert asked(tmp_path, {"index.html": html, "a.css": font, "b/b.css": '@import "../a.css";'}) == [blocked]


@pytest.mark.parametrize(
    "html",
    [
        '<script type="module" crossorigin src="/assets/x.js"></script><link rel="stylesheet" href="assets/x.css">',
        '<img src="data:image/png;base64,AA"><a href="https://a.example.com">elsewhere</a>',
        '<!-- <script>alert(1)</script> --><noscript><img src="https://a.example.com/x.png"></noscript>',
        '<script nomodule src="https://a.example.com/old.js"></script>',
        '<script type="application/ld+json">{"@context": "https://schema.org"}</script>',
        '<link rel="canonical" href="https://a.example.com/"><link rel="preconnect" href="https://a.example.com">',
        "<link rel=stylesheet href=/a.css>",
        '<script src="/x.js" data-text="</noscript> onload=x style=y"></script>',
        '<link rel=stylesheet href="https://a.example.com/x.css" disabled><style type="text/less">a { b: c }</style>',
        "<link rel=stylesheet href=/fallback.css>",
    ],
)
def test_what_the_policy_allows_or_no_browser_loads_is_not_named(tmp_path: Path, html: str) -> None:
    css = """@namespace url(http://www.w3.org/1999/xhtml); /* url(https://a.example.com/) */
    a { background: url("data:image/svg+xml,<svg fill='url(//a.example.com/)'/>"); cursor: url( x.png ); }
    b { mask: url(#c) }"""
    fallback = "@font-face { src: url(x.woff2) format('woff2'), url(data:font/ttf;base64,AA) format('truetype') }"
    assert asked(tmp_path, {"index.html": html, "a.css": css, "fallback.css": fallback}) == []


@pytest.mark.parametrize(
    "html",
    [
        '<img src="/100%.png"><link rel=stylesheet href="/100%.css">',
        "<link rel=stylesheet href=/>",
        '<base href="http://"><img src=x.png>',
        "<meta http-equiv=Content-Security-Policy><img src=x.png>",
    ],
    ids=["a broken escape", "a folder as a style sheet", "no base", "an empty policy"],
)
def test_what_a_page_writes_wrongly_and_a_folder_called_as_a_page_break_nothing(tmp_path: Path, html: str) -> None:
    assert asked(tmp_path, {"index.html": html, "folder.html/a.txt": ""}) == []


@pytest.mark.parametrize(
    ("policy", "html"),
    [
        ("default-src 'self'; script-src 'self' https://*.example.com", '<script src="https://a.example.com/x.js"></script>'),
        ("default-src 'self'; script-src-elem a.example.com:443", '<script src="https://a.example.com/x.js"></script>'),
        ("default-src 'self' https:", '<img src="https://a.example.com/x.png">'),
        ("default-src *", '<img src="https://a.example.com/x.png">'),
        ("default-src 'self';", '<img src="/x.png"><script src="/x.js"></script>'),
        ("default-src 'self'; child-src *", '<iframe src="https://a.example.com"></iframe>'),
        ("default-src $hosts", '<img src="https://a.example.com/x.png">'),
        ("script-src 'nonce-a'", "<script nonce=a>alert(1)</script>"),
        (f"script-src {ALERT}", "<script>alert(1)</script>"),
        ("style-src 'unsafe-inline'", '<p style="color: red"><style>p { color: red }</style>'),
        ("frame-ancestors 'none'", "<script>alert(1)</script>"),
    ],
)  # fmt: skip
def test_a_source_that_the_policy_names_is_allowed(tmp_path: Path, policy: str, html: str) -> None:
    assert asked(tmp_path, {"index.html": html}, policy) == []


def test_what_a_page_forbids_itself_is_named(tmp_path: Path) -> None:
    page = '<meta http-equiv="Content-Security-Policy" content="img-src {}"><img src="/x.png">'
    site = {"a.html": page.format("'none'"), "b.html": page.format("'self'")}
    assert asked(tmp_path, site, "frame-ancestors 'none'") == ["img-src 'self'"]


def test_a_site_with_web_assembly_needs_leave_to_compile_it(tmp_path: Path) -> None:
    assert asked(tmp_path, {"x.wasm": ""}) == ["script-src 'wasm-unsafe-eval'"]
    for leave in ("'wasm-unsafe-eval'", "'unsafe-eval'"):
        assert asked(tmp_path, {"x.wasm": ""}, f"script-src 'self' {leave}") == []


def test_a_comment_with_a_reason_excuses_one_source(tmp_path: Path) -> None:
    site = {"index.html": '<img src="https://a.example.com/x.png"><img src="https://b.example.com/x.png">'}
    assert asked(tmp_path, site, comments="# blocked https://a.example.com") == [
        "img-src https://a.example.com", "img-src https://b.example.com",
    ]  # fmt: skip
    excuse = "# blocked https://a.example.com the picture is a decoration"
    assert asked(tmp_path, site, comments=excuse) == ["img-src https://b.example.com"]
