"""Do the Korean pages say as much as the English ones: headings, code, tables, links and figures?"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from test_documents import anchors

from msb.stacks import ROOT

KOREAN = ROOT / "docs" / "ko"
PAGES = {KOREAN / "README.md": ROOT / "README.md"} | {
    page: ROOT / "docs" / page.name for page in KOREAN.glob("*.md") if page.name != "README.md"
}
OTHER_LANGUAGE = re.compile(r"^\[(?:English|한국어)\]\((\S+)\)$", re.MULTILINE)


class Shape(NamedTuple):
    """What two languages of a page have in common."""

    headings: list[int]
    blocks: list[str]
    tables: list[list[int]]
    spans: set[str]
    links: Counter[str]
    figures: Counter[str]


def heading_names(path: Path) -> list[str]:
    """The anchors of a page, in order."""
    lines = re.findall(r"^#+ .*$", re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S), re.M)
    names = [re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in lines]
    assert set(names) <= anchors(path)
    return names


def place(page: Path, link: str) -> str:
    """A link as the English page and the number of the heading that it leads to; others as they are."""
    if re.match(r"https?:", link):
        return link
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    number = heading_names(target).index(anchor) if anchor else ""
    # A page that is translated is linked in its own language.
    inside = {english: korean for korean, english in PAGES.items()}
    if page in PAGES and target in inside:
        return f"{target} in English"
    return f"{PAGES.get(target, target).relative_to(ROOT)}#{number}"


def shape(page: Path) -> Shape:
    text = OTHER_LANGUAGE.sub("", page.read_text(encoding="utf-8"))
    blocks = re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"^ {4,}.*$", prose, re.MULTILINE)
    prose = re.sub(r"^ {4,}.*$", "", prose, flags=re.MULTILINE)
    tables = [
        [row.count("|") for row in table.splitlines()] for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE)
    ]
    spans = {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)}
    links = Counter(place(page, link) for link in re.findall(r"\]\(([^)\s]+)\)", prose))
    words = re.sub(r"`[^`]+`|\]\([^)]+\)|<[^>]+>", " ", prose)
    figures = Counter(re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"^\d\. ", "", words, flags=re.MULTILINE)))
    return Shape(
        [len(level) for level in re.findall(r"^(#+) ", prose, re.MULTILINE)], blocks, tables, spans, links, figures
    )


@pytest.mark.parametrize("korean", PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize("part", Shape._fields)
def test_both_languages_of_a_page_have_the_same(korean: Path, part: str) -> None:
    expected = getattr(shape(PAGES[korean]), part)
    assert expected, f"{PAGES[korean].name} has no {part}"
    assert getattr(shape(korean), part) == expected


@pytest.mark.parametrize("korean", PAGES, ids=lambda page: page.name)
def test_each_language_of_a_page_links_to_the_other(korean: Path) -> None:
    for page, other in ((korean, PAGES[korean]), (PAGES[korean], korean)):
        (link,) = OTHER_LANGUAGE.findall(page.read_text(encoding="utf-8"))
        assert (page.parent / link).resolve() == other
