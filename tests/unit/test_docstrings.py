"""One dialect for all docstrings: they open with a verb or a noun, and `Args:` has one form.

That modules, classes and functions have one, and functions in the imperative, is ruff's to say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULES = sorted(
    path for folder in ("ecsnet", "systems", "components") for path in (ROOT / folder).rglob("*.py")
)

QUESTIONS = {
    *("what", "whatever", "who", "whom", "whose", "whether", "which", "how", "where", "when"),
    *("why", "those", "if"),
}
"""Words that turn a sentence round: what is described comes last, or not at all."""

ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*): (?P<text>.+)")
"""An entry of ``Args:`` or ``Attributes:``."""


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Docstrings of modules, classes and functions, and those below attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))) if text.strip():
                    yield statement.lineno, text


def entries(text: str) -> Iterator[tuple[str, int, str]]:
    """Title of the section, indentation below it, and line, of sections that list names."""
    title, indent = "", 0
    for line in text.splitlines():
        heading = re.fullmatch(r"( *)(Args|Attributes):", line)
        if heading is not None:
            title, indent = heading[2], len(heading[1])
        elif not line.strip():
            title = ""
        elif title:
            yield title, len(line) - len(line.lstrip()) - indent, line.strip()


def methods(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Public methods and properties of public classes: their names and docstrings."""
    for cls in ast.walk(tree):
        if not isinstance(cls, ast.ClassDef) or cls.name.startswith("_"):
            continue
        for each in cls.body:
            function = isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            if function and not each.name.startswith("_"):
                yield each.name, ast.get_docstring(each)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_are_of_one_dialect(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = []
    for line, text in docstrings(tree):
        first = re.findall(r"[\w']+", text.split(maxsplit=1)[0])
        if first and first[0].lower() in QUESTIONS:
            wrong.append(f"line {line} opens with {first[0]}")
        for title, depth, entry in entries(text):
            if depth != 4:  # goes on with the entry above
                continue
            found = ENTRY.fullmatch(entry)
            if found is None or found["text"][0].islower():
                wrong.append(f"line {line}, {title}: {entry!r} is not 'name: The ...'")
    assert wrong == []


def test_public_methods_are_described_where_they_are_or_by_their_interface() -> None:
    found = [each for path in MODULES for each in methods(ast.parse(path.read_text("utf-8")))]
    described = {name for name, text in found if text}
    assert {name for name, _ in found} - described == set()
    assert len(described) > 250


def test_the_dialect_is_looked_at_in_all_packages() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in MODULES}
    assert folders == {"ecsnet", "systems", "components"}
    texts = [text for path in MODULES for _, text in docstrings(ast.parse(path.read_text("utf-8")))]
    assert len(texts) > 1500
    assert sum(len(list(entries(text))) for text in texts) > 300
