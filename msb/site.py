"""The pages of the documentation site in one folder: those of docs/ and of other places, and the gallery."""

import posixpath
import re
import shutil
import tempfile
from pathlib import Path

from msb import gallery, project, results, stacks
from msb.stacks import ROOT

FOLDER = ROOT / ".out" / "pages"
"""Where zensical.toml reads the pages."""
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages from outside docs/: where they are in the repository, and on the site."""
_LINK = re.compile(r'(\]\(|(?:src|srcset)=")(?![a-z]+:|#)([^)"\s#]+)')


def assemble(folder: Path = FOLDER) -> None:
    """Write all pages of the site, and the files that they show, into a folder; what was in it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for source, place in PAGES.items():
        shutil.copy(ROOT / source, folder / place)
    (folder / "gallery").mkdir()
    measured = results.read().stacks
    with tempfile.TemporaryDirectory(prefix="msb-gallery-") as work:
        for name, stack in stacks.load().stacks.items():
            rendered = project.render(stack, {}, Path(work) / name)
            text = gallery.page(stack, rendered, measured.get(name))
            (folder / "gallery" / f"{name}.md").write_text(text, encoding="utf-8")
    for page in folder.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(_linked(text, page.relative_to(folder).as_posix(), folder), encoding="utf-8")


def _linked(text: str, place: str, folder: Path) -> str:
    """Let each link of a page lead to the page of the site, or else to the file in the repository."""
    source = next((outside for outside, inside in PAGES.items() if inside == place), f"docs/{place}")

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        inside = PAGES.get(target, target.removeprefix("docs/"))
        if (folder / inside).is_file():
            return link[1] + posixpath.relpath(inside, posixpath.dirname(place) or ".")
        return (
            f"{link[1]}{stacks.load().collection.address}/blob/main/{target}" if (ROOT / target).exists() else link[0]
        )

    return _LINK.sub(led, text)
