"""Is the documentation site whole (every page, link and Dockerfile), and does a browser show it well?"""

import http.server
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import cache, partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, expect
from test_node_nginx import Visit

from msb import gallery, project, site
from msb.stacks import ROOT, Matrix, Stack

pytestmark = pytest.mark.slow

CONFIGURATION = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def pages(nav: object) -> list[str]:
    """The pages of a navigation, in order."""
    if isinstance(nav, str):
        return [nav]
    return [page for entry in (nav.values() if isinstance(nav, dict) else nav) for page in pages(entry)]  # type: ignore[attr-defined]


PAGES = pages(CONFIGURATION["nav"])


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "zensical.toml").write_bytes((ROOT / "zensical.toml").read_bytes())
    command = [str(Path(sys.executable).parent / "zensical"), "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `make site` is done."""
    folder = tmp_path_factory.mktemp("site")
    site.assemble(folder / CONFIGURATION["docs_dir"])
    result = build(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def built(work: Path) -> Path:
    return work / CONFIGURATION["site_dir"]


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    """Where the site is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=built)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Links(HTMLParser):
    """What a page leads to, and the places in it that can be led to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag's links and its own place."""
        for name, value in attrs:
            if name in ("href", "src", "srcset") and value:
                self.targets.append(value)
            if name in ("id", "name") and value:
                self.places.add(value)


@cache
def links(page: Path) -> Links:
    return Links(page)


def html(page: str) -> str:
    """The file of a page."""
    return page.replace("README.md", "index.md").removesuffix(".md") + ".html"


def test_the_navigation_leads_to_every_page_and_every_stack_once(work: Path, matrix: Matrix) -> None:
    folder = work / CONFIGURATION["docs_dir"]
    assert sorted(PAGES) == sorted(page.relative_to(folder).as_posix() for page in folder.rglob("*.md"))
    assert [page for page in PAGES if page.startswith("gallery/")] == [f"gallery/{name}.md" for name in matrix.stacks]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_of_a_page_leads_somewhere(built: Path, page: str) -> None:
    file = built / html(page)
    targets = [target for target in links(file).targets if not re.match(r"[a-z]+:", target)]
    assert len(targets) > 20
    for target in targets:
        name, _, place = unquote(target).partition("#")
        found = (file.parent / name).resolve() if name else file
        found = found / "index.html" if found.is_dir() else found
        assert found.is_file(), target
        assert found.suffix != ".html" or place in links(found).places, target


@pytest.mark.parametrize("link", ["missing.md", "multi-stage.md#no-such-heading"])
def test_the_build_fails_on_a_broken_link(tmp_path: Path, work: Path, link: str) -> None:
    folder = tmp_path / CONFIGURATION["docs_dir"]
    shutil.copytree(work / CONFIGURATION["docs_dir"], folder)
    (folder / "adopt.md").write_text(f"# Adopt\n\n[broken]({link})\n")
    result = build(tmp_path)
    assert result.returncode != 0, result.stdout
    assert "adopt.md" in result.stdout + result.stderr


def test_a_link_to_a_file_that_the_site_has_not_leads_to_the_repository(built: Path, matrix: Matrix) -> None:
    assert f"{matrix.collection.address}/blob/main/LICENSE" in links(built / "index.html").targets
    assert f"{matrix.collection.address}/blob/main/LICENSE" in links(built / "ko" / "index.html").targets


def test_the_gallery_shows_every_line_of_the_rendered_dockerfile(tmp_path: Path, stack: Stack) -> None:
    dockerfile = (project.render(stack, {}, tmp_path) / "Dockerfile").read_text(encoding="utf-8")
    lines = dockerfile.splitlines()
    shown: dict[int, str] = {}
    stages = gallery.stages(dockerfile)
    assert [name for name, *_ in stages][1:] == re.findall(r"^FROM .* AS (\w+)$", dockerfile, re.MULTILINE)
    for name, told, first, code in stages:
        shown |= dict(enumerate(code.splitlines(), first))
        assert bool(told) == bool(name)
    assert {number: lines[number - 1] for number in shown} == shown
    hidden = [line for number, line in enumerate(lines, 1) if line and number not in shown]
    assert "".join(hidden).startswith("# ")
    assert " ".join(f"# {name}: {told}" for name, told, *_ in stages[1:]).split() == [
        word for line in hidden for word in (line.split() if re.match(r"# \w+: ", line) else line.split()[1:])
    ]


@pytest.mark.parametrize("page", PAGES)
def test_a_browser_shows_a_page_without_errors_other_hosts_or_sideways_scrolling(
    browser: Browser, address: str, page: str
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800})
    visit = Visit(context.new_page(), address, page)
    for width in (360, 1440):
        visit.page.set_viewport_size({"width": width, "height": 800})
        assert visit.go(f"/{html(page)}") == 200
        visit.page.wait_for_load_state("networkidle")
        wide = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{width} pixels: {wide} too wide"
    context.close()
    assert (visit.console, visit.abroad) == ([], [])


def test_the_search_finds_a_rule_by_its_code(browser: Browser, address: str) -> None:
    visit = Visit(browser.new_page(), address, "search")
    visit.go("/index.html")
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("MSB104")
    expect(visit.page.get_by_role("option", name=re.compile("MSB104")).first).to_be_visible()
    visit.page.close()
    assert (visit.console, visit.abroad) == ([], [])


def test_a_page_is_dark_for_a_reader_who_prefers_it_and_the_pictures_too(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{address}/index.html")
    expect(page.locator("body")).to_have_attribute("data-md-color-scheme", "slate")
    assert page.locator("picture img").evaluate("it => it.currentSrc").endswith("-dark.svg")
    assert page.locator("picture img").evaluate("it => it.naturalWidth") > 0
    context.close()
