"""The glossary of the design notes has the words of the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTES = (ROOT / "docs" / "design-notes.md").read_text(encoding="utf-8")
CODE = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("ecsnet", "systems", "components")
    for path in sorted((ROOT / folder).rglob("*.py"))
)


def test_every_term_of_the_glossary_occurs_in_the_code() -> None:
    section = NOTES.partition("\n## Glossary\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)[1:]
    rows = [row for row in rows if not row[0].startswith("---")]
    assert len(rows) >= 30
    for terms, meaning, modules in rows:
        for module in modules.split(", "):
            assert (ROOT / "ecsnet" / module).is_file(), f"{terms}: {module}"
        for name in re.findall(r"`([\w.]+)`", meaning):
            for part in name.split("."):
                assert re.search(rf"\b{part}\b", CODE), f"{terms}: {name}"
        for term in terms.split(", "):
            # As a word, a part of a name, or the name of a class.
            spelled = r"[ _-]?".join(re.escape(word) for word in term.split())
            assert re.search(spelled, CODE, re.IGNORECASE), term
