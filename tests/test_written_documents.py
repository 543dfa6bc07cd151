"""The documents name files that exist."""

import re
from pathlib import Path

import pytest

from installed import PROJECT

ROOT = Path(PROJECT)
PACKAGE = ROOT / "shim" / "tweed_shim"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bundles").glob("*.md")])
# A file of the project in backquotes: `runtime/spec.py`, `tests/cli/test_exec.py`, `scripts/bench`.
NAMED = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.py|scripts/[\w-]+|docs/[\w-]+\.md)\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_that_a_document_names_is_there(document: Path) -> None:
    if document.name == "CHANGELOG.md":
        # It also tells of what has been replaced since.
        return
    names = set(NAMED.findall(document.read_text()))
    # A name without its room stands for a file that the sentence before has named in full.
    short = {path.name for path in PACKAGE.rglob("*.py")}
    missing = [
        name
        for name in names
        if not (ROOT / name).exists() and not (PACKAGE / name).exists() and name not in short
    ]
    assert missing == []
