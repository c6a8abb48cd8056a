"""Do the pictures and the tables say what the results say, and can people read them?"""

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser

from msb import results, tables
from msb.errors import MsbError
from msb.pictures import THEMES, pictures
from msb.report import megabytes
from msb.stacks import ROOT

DRAWN = pictures(results.read())
SHOWN = [ROOT / "README.md", ROOT / "docs" / "ko" / "README.md", ROOT / "docs" / "measured.md"]
BOXES = """() => [...document.querySelectorAll("text")].map(it => {
    const box = it.getBoundingClientRect();
    return [it.textContent, box.left, box.top, box.right, box.bottom];
})"""


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_picture_of_a_page_exists_in_both_themes_and_says_what_it_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r'srcset="(\S+)-dark\.svg">\n +<img alt="[^"]{20,}" src="(\S+)-light\.svg" width="\d+">', text)
    assert shown
    assert len(shown) == text.count("<img ") == text.count("<source ")
    for dark, light in shown:
        assert dark == light
        for theme in THEMES:
            assert (page.parent / f"{dark}-{theme}.svg").is_file(), f"{dark}-{theme}.svg"


def test_the_folder_of_the_pictures_holds_nothing_else() -> None:
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == set(DRAWN)


def test_bars_are_to_scale_and_a_picture_follows_a_changed_size() -> None:
    found = results.read()
    stack = found.stacks["go"]
    stack.stages[0] = stack.stages[0].__class__("deps", 1, 500_000_000, {})
    stack.stages[1:] = [stack.stages[0].__class__("runtime", 1, 250_000_000, {})]
    root = ElementTree.fromstring(pictures(found)["go-stages-light.svg"])  # noqa: S314 our own
    space = "{http://www.w3.org/2000/svg}"
    first, second = (float(bar.get("width", "")) for bar in root.findall(f"{space}rect")[1:])
    assert first == 2 * second
    assert {"500.0 MB", "250.0 MB"} <= {text.text for text in root.iter(f"{space}text")}


def test_a_table_follows_the_results_and_the_words_of_a_page_stay() -> None:
    found = results.read()
    found.stacks["go"].runtime_bytes = 12_345_678
    text = "<!-- results: sizes -->\n| `go` | eine Zeile | 1.0 MB |\n<!-- end -->\n| `go` | not a result | 1.0 MB |\n"
    assert tables.filled(text, found) == text.replace("1.0 MB", "12.3 MB", 1)
    images = tables.filled("<!-- results: images -->\n<!-- end -->\n", found)
    assert "| runtime image | 12.3 MB |" in images


def test_an_unknown_table_is_one_line_that_names_it() -> None:
    with pytest.raises(MsbError, match="^results: sizez: there is no such table"):
        tables.filled("<!-- results: sizez -->\n<!-- end -->", results.read())


def test_the_measured_page_has_every_table_and_no_figure_of_another_source() -> None:
    text = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
    blocks = set(re.findall(r"^<!-- results: (\w+) -->$", text, re.MULTILINE))
    assert blocks == set(tables.BLOCKS) - {"sizes"}
    prose = re.sub(r"^<!-- results.*?^<!-- end -->$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"\d+(?:\.\d+)? (?:MB|s|ms|bytes)\b", prose) == []
    for stack in results.read().stacks.values():
        assert f" {megabytes(stack.runtime_bytes)} |" in text


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("name", sorted(DRAWN), ids="picture {}".format)  # whose builds it does not share
def test_no_text_of_a_picture_is_cut_off_or_covers_another(browser: Browser, name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    style = "<style>body { margin: 16px } svg { max-width: 100%; height: auto }</style>"
    page.set_content(f"<!doctype html>{style}{DRAWN[name]}")
    drawing = page.locator("svg").bounding_box()
    boxes = page.evaluate(BOXES)
    page.close()
    assert drawing
    assert boxes
    for text, left, top, right, bottom in boxes:
        assert bottom - top >= 9, f"{text}: too small to read"
        edges = [drawing["x"], left, right, drawing["x"] + drawing["width"]]
        assert edges == sorted(edges), f"{text}: cut off"
        assert bottom <= drawing["y"] + drawing["height"], f"{text}: cut off"
    for (one, *first), (other, *second) in combinations(boxes, 2):
        across = min(first[2], second[2]) - max(first[0], second[0])
        down = min(first[3], second[3]) - max(first[1], second[1])
        assert across <= 0 or down <= 3, f"{one} covers {other}"  # lines of text share the space between them
