"""What `help()` prints of the public functions: no default that is large, secret or an address."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import pydoc
import re
from collections.abc import Iterator

import pytest

import ecsnet

PUBLIC = ["ecsnet", "ecsnet.components", "ecsnet.systems", "ecsnet.testing"]
LONGEST = 60  # characters of a default
ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


def modules() -> list[str]:
    """Every module of ecsnet that runs without pygame and starts nothing."""
    found = [
        module.name for module in pkgutil.walk_packages(ecsnet.__path__, "ecsnet.", onerror=str)
    ]
    left_out = ("ecsnet.samples.", "ecsnet.demo.screen")
    return [name for name in found if not name.startswith(left_out) and "__main__" not in name]


def functions(module: str) -> Iterator[tuple[str, object]]:
    """The functions, classes and methods that a module defines and names in ``__all__``."""
    there = importlib.import_module(module)
    for name in getattr(there, "__all__", ()):
        value = getattr(there, name)
        if not callable(value):
            continue
        yield f"{module}.{name}", value
        if inspect.isclass(value) and value.__module__.startswith("ecsnet"):
            for part, method in inspect.getmembers(value, callable):
                if not part.startswith("_"):
                    yield f"{module}.{name}.{part}", method


def defaults(function: object) -> Iterator[tuple[str, str]]:
    """The parameters that have a default, and the default as `help` prints it."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built in
        return
    for parameter in signature.parameters.values():
        if parameter.default is not parameter.empty:
            yield parameter.name, repr(parameter.default)


def faults(name: str, function: object) -> list[str]:
    return [
        f"{name}({parameter}={text[:LONGEST]})"
        for parameter, text in defaults(function)
        if len(text) > LONGEST or ADDRESS.search(text)
    ]


def test_no_public_default_is_large_secret_or_an_address() -> None:
    looked_at, found = 0, []
    for module in PUBLIC:
        for name, function in functions(module):
            looked_at += len(list(defaults(function)))
            found += faults(name, function)
    assert found == []
    assert looked_at > 100


def test_no_default_anywhere_holds_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECSNET_TEST_SECRET", "swordfish")
    texts = [
        f"{name}({parameter}={text})"
        for module in modules()
        for name, function in functions(module)
        for parameter, text in defaults(function)
    ]
    assert [text for text in texts if "swordfish" in text] == []
    assert len(texts) > 200


def test_help_does_not_print_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECSNET_TEST_SECRET", "swordfish")
    text = pydoc.render_doc(ecsnet.ServerWorld, renderer=pydoc.plaintext)
    assert "make_host" in text
    assert "swordfish" not in text
    assert "environ(" not in text


@pytest.mark.parametrize("default", [os.environ, object(), lambda: 0, list(range(100))])
def test_such_a_default_would_be_found(default: object) -> None:
    def function(parameter: object = default) -> None: ...

    assert faults("function", function)
