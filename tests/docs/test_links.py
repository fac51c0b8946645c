"""Every link of the documents leads somewhere, and every file they name is there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, inline_code, links

_FILE = re.compile(
    r"(?:wardwright|supervisors|tests|docs|contracts|\.ci)/[\w./-]+\.(?:py|md|json|yaml)"
    r"|(?:supervisors|tests|docs|contracts)/(?:[\w.-]+/)*"
    r"|(?:README|CHANGELOG)\.md|Makefile|pyproject\.toml|requirements\.lock"
)


def test_the_pages_are_found() -> None:
    assert {Path("README.md"), Path("docs/README.md"), Path("contracts/storage-provider-contract.md")} < set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page.parent / target).resolve() if target else ROOT / page
        assert path.is_relative_to(ROOT), link
        assert path.exists(), link
        assert not anchor or anchor in anchors(path.relative_to(ROOT)), link


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_exist(page: Path) -> None:
    for code in inline_code(page):
        if _FILE.fullmatch(code):
            assert (ROOT / code).exists(), code


def test_every_document_is_in_the_index() -> None:
    pages = {page for page in PAGES if page.parts[0] == "docs"}
    index = Path("docs/README.md")
    reached = {(Path("docs") / link.partition("#")[0]) for link in links(index)}
    decisions = {page for page in pages if page.parent.name == "decisions"}
    assert pages - reached - decisions == {index}
    listed = {Path("docs/decisions") / link for link in links(Path("docs/decisions/README.md"))}
    assert listed == decisions - {Path("docs/decisions/README.md")}
