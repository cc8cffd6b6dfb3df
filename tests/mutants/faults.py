"""Which faults can be put into a source file: small ones, such as people make.

A fault replaces one piece of the text: a comparison by its neighbour, a number by the next one, a
condition by its contrary, a statement by none. What says nothing about behaviour is left alone:
annotations, assertions (for the type checker, or of `zip`), log lines, the words of errors, what
people see of an object; and so is what changes nothing: a jump to where the code comes anyway, and
False in place of 0 behind an `or`.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Fault", "choose", "faults_in"]

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "//",
    ast.LShift: ">>", ast.RShift: "<<", ast.BitAnd: "|", ast.BitOr: "&", ast.BitXor: "|",
    ast.And: "or", ast.Or: "and",
}  # fmt: skip
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil"}
_UNHEARD = {"cast", "TypeVar", "getLogger", "overload"}
_UNSAID = {"__all__", "__slots__"}
_LOGS = {"logger", "log", "_log", "warnings"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        path: The file, relative to the project's root.
        lines: First and last line of the statement that it is in.
        start: Where the text that it replaces begins, in bytes.
        end: Where that text ends.
        text: What stands there instead.
    """

    path: str
    lines: tuple[int, int]
    start: int
    end: int
    text: str

    def put_into(self, source: bytes) -> bytes:
        """The file with the fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def makes_another(self, source: bytes) -> bool:
        """Whether the file is Python with the fault, and not the same."""
        try:
            return ast.dump(ast.parse(self.put_into(source))) != ast.dump(ast.parse(source))
        except SyntaxError:
            return False

    def line(self, source: bytes) -> int:
        """The line of the file that it is in."""
        return source.count(b"\n", 0, self.start) + 1

    def diff(self, source: bytes) -> str:
        """What it changes, for people."""
        before, after = (
            text.decode().splitlines(keepends=True) for text in (source, self.put_into(source))
        )
        lines = list(difflib.unified_diff(before, after, n=1))[2:]
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def choose(root: Path, core: Sequence[str], number: int, seed: int) -> list[Fault]:
    """Some faults of a project's core: the same ones for the same text, number and seed.

    Args:
        root: The project's folder.
        core: Files and folders in it.
        number: How many; all of them where there are no more.
        seed: Of the choice.
    """
    paths: list[Path] = []
    for name in core:
        place = root / name
        paths += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    sources = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    faults = [fault for path, source in sources.items() for fault in faults_in(source, path)]
    random.Random(seed).shuffle(faults)
    sound = (fault for fault in faults if fault.makes_another(sources[fault.path]))
    return list(itertools.islice(sound, number))


def faults_in(source: bytes, path: str) -> list[Fault]:
    """All faults of one file; a few of them leave no Python file, or the same one."""
    return list(dict.fromkeys(_Finder(source, path).statements(ast.parse(source).body, doc=True)))


class _Finder:
    def __init__(self, source: bytes, path: str) -> None:
        self.source = source
        self.path = path
        self.begins = [0]
        for line in source.splitlines(keepends=True):
            self.begins.append(self.begins[-1] + len(line))
        self.lines = (1, 1)

    # Statements.

    def statements(
        self, body: Sequence[ast.stmt], *, doc: bool = False, last: type[ast.stmt] | None = None
    ) -> Iterator[Fault]:
        """Faults in a block; ``last`` is the jump that changes nothing at its end."""
        for statement in body:
            if not (doc and _is_text(statement)):
                yield from self.statement(statement, last if statement is body[-1] else None)
            doc = False

    def statement(self, node: ast.stmt, last: type[ast.stmt] | None = None) -> Iterator[Fault]:
        blocks = [getattr(node, name, ()) for name in ("body", "orelse", "finalbody")]
        first = blocks[0][0].lineno if blocks[0] else 0
        end = max(node.lineno, first - 1) if first else node.end_lineno or node.lineno
        self.lines = lines = (node.lineno, end)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if any(_name(each) in _UNHEARD for each in node.decorator_list):
                    return
                if node.name == "__repr__":
                    return
                for each in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
                    yield from self.expression(each)
            case ast.ClassDef():
                if any(_name(base) == "Protocol" for base in node.bases):
                    return
            case ast.If() | ast.While():
                if _name(node.test) == "TYPE_CHECKING":
                    return
                if node.orelse or not all(map(_only_logs, node.body)):
                    yield self.instead(node.test, f"not ({self.text(node.test)})")
                    yield from self.expression(node.test)
            case ast.For():
                yield from self.expression(node.iter)
            case ast.With():
                for item in node.items:
                    yield from self.expression(item.context_expr)
            case ast.Match():
                yield from self.expression(node.subject)
                for case in node.cases:
                    yield from self.statements(case.body, last=last)
            case ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
                if not (isinstance(node, last or ()) or _is_abstract(node)):
                    yield self.instead(node, "pass")
            case ast.Return():
                if node.value is None:
                    if last is not ast.Return:
                        yield self.instead(node, "pass")
                else:
                    yield from self.expression(node.value)
            case ast.Expr():
                if isinstance(node.value, ast.Call) and not _is_logging(node.value):
                    yield self.instead(node, "pass")
                    yield from self.expression(node.value)
            case ast.Assign():
                if any(_name(target) in _UNSAID for target in node.targets):
                    return
                if not all(isinstance(target, ast.Name) for target in node.targets):
                    yield self.instead(node, "pass")
                yield from self.expression(node.value)
            case ast.AugAssign():
                yield self.instead(node, "pass")
                yield from self.operator(node, node.target, node.op, node.value, "=")
                yield from self.expression(node.value)
            case ast.AnnAssign():
                if node.value is not None and _name(node.annotation) != "TypeAlias":
                    yield from self.expression(node.value)
        handlers = getattr(node, "handlers", ())
        documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for block in (*blocks, *(handler.body for handler in handlers)):
            yield from self.statements(block, doc=documented, last=_last_jump(node, block, last))
        self.lines = lines

    # Expressions.

    def expression(self, node: ast.expr) -> Iterator[Fault]:
        match node:
            case ast.JoinedStr() | ast.Lambda(body=ast.Constant()):
                return  # their parts have no sound positions; nothing to see
            case ast.Compare():
                sides = [node.left, *node.comparators]
                for left, operator, right in zip(sides, node.ops, node.comparators, strict=False):
                    yield from self.operator(node, left, operator, right)
            case ast.BinOp():
                yield from self.operator(node, node.left, node.op, node.right)
            case ast.BoolOp():
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self.operator(node, left, node.op, right)
                for value in node.values:  # as if it were not there
                    zero = isinstance(value, ast.Constant) and value.value == 0
                    if not (zero and isinstance(node.op, ast.Or)):
                        yield self.instead(value, str(isinstance(node.op, ast.And)))
            case ast.UnaryOp():
                yield self.instead(node, f"({self.text(node.operand)})")
            case ast.IfExp():
                then, test, otherwise = map(self.text, (node.body, node.test, node.orelse))
                yield self.instead(node, f"(({otherwise}) if ({test}) else ({then}))")
            case ast.Constant():
                yield from self.constant(node)
            case ast.Call():
                name = _name(node.func)
                if name in _UNHEARD or name.endswith(("Error", "Warning")):
                    return
                if name in _CALLS and isinstance(node.func, ast.Name):
                    yield self.instead(node.func, _CALLS[name])
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from self.expression(child)
            elif isinstance(child, ast.keyword):
                if child.arg != "strict":  # zip() asserts with it, for who reads the code
                    yield from self.expression(child.value)
            elif isinstance(child, ast.comprehension):
                yield from self.expression(child.iter)
                for condition in child.ifs:
                    yield self.instead(condition, f"(not ({self.text(condition)}))")
                    yield from self.expression(condition)

    def constant(self, node: ast.Constant) -> Iterator[Fault]:
        match node.value:
            case bool(value):
                yield self.instead(node, str(not value))
            case int(value) if value > 16:  # a limit or a rate: one more or less is no fault
                yield self.instead(node, str(value * 2))
                yield self.instead(node, str(value // 2))
            case int(value):
                yield self.instead(node, str(value + 1))
                if value > 1:
                    yield self.instead(node, str(value - 1))
            case float(value):
                yield self.instead(node, str(value * 2 or 1.0))
                if value:
                    yield self.instead(node, str(value / 2))

    def operator(
        self, node: ast.AST, left: ast.expr, operator: ast.AST, right: ast.expr, more: str = ""
    ) -> Iterator[Fault]:
        """Another operator between two expressions; brackets round these stay where they are."""
        other = _OPERATORS.get(type(operator))
        if other is None:
            return
        start, end = self.place(left)[1], self.place(right)[0]
        between = self.source[start:end].decode()
        before = between[: len(between) - len(between.lstrip(" \n)"))]
        after = between[len(between.rstrip(" \n(")) :]
        if "#" not in between:
            yield Fault(self.path, self.lines, start, end, f"{before}{other}{more}{after}")

    def instead(self, node: ast.AST, text: str) -> Fault:
        return Fault(self.path, self.lines, *self.place(node), text)

    def place(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.begins[node.lineno - 1] + node.col_offset,
            self.begins[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node: ast.expr) -> str:
        start, end = self.place(node)
        return self.source[start:end].decode()


def _last_jump(
    node: ast.stmt, block: Sequence[ast.stmt], last: type[ast.stmt] | None
) -> type[ast.stmt] | None:
    """Return the jump that changes nothing at the end of a block, where it is ``last`` behind the
    statement that the block is of.
    """
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return ast.Return
        case ast.For() | ast.AsyncFor() | ast.While() if block is node.body:
            return ast.Continue
        case ast.ClassDef():
            return None
        case ast.Try() if block is node.finalbody or (block is node.body and node.orelse):
            return None
    return last


def _name(node: ast.AST) -> str:
    """The last word of what is called or meant."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return getattr(node, "attr", "") or getattr(node, "id", "")


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_logging(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and _name(call.func.value) in _LOGS


def _only_logs(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _is_logging(node.value)
    )


def _is_abstract(node: ast.stmt) -> bool:
    return isinstance(node, ast.Raise) and _name(node.exc or node) == "NotImplementedError"
