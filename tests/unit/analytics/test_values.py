"""Every value becomes storable, whoever made it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsnet.analytics.values import Value, is_key, milliseconds, plain, storable, to_document
from ecsnet.schema import PLAIN, Kind


class Colour(Enum):
    RED = 1
    BLUE = 2


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(Colour)
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)


def keys_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys_in(item)


def assert_storable(value: Value, in_list: bool = False) -> None:
    assert not (in_list and isinstance(value, list)), "lists directly in lists"
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int):
        assert -(2**63) <= value < 2**63
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, list):
        for item in value:
            assert_storable(item, in_list=True)
    elif isinstance(value, dict):
        for key, item in value.items():
            assert is_key(key)
            assert_storable(item)
    else:
        assert isinstance(value, str | bytes | datetime)


@given(anything)
def test_anything_goes_through_the_journal_into_a_document(value: object) -> None:
    through = msgspec.msgpack.decode(msgspec.msgpack.encode(plain(value)), strict=False)
    assert_storable(storable(through))


@given(anything)
def test_no_key_is_a_players(value: object) -> None:
    through = msgspec.msgpack.decode(msgspec.msgpack.encode(plain(value)), strict=False)
    assert set(keys_in(storable(through))) <= {"k", "v", "items"}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (msgspec.msgpack.Ext(5, b"x"), "a Ext"),
        ([[1], [2]], [{"items": [1]}, {"items": [2]}]),
        ({"$x": 1, "a.b": 2}, [{"k": "$x", "v": 1}, {"k": "a.b", "v": 2}]),
    ],
)
def test_what_databases_refuse_is_told_otherwise(value: object, stored: Value) -> None:
    assert storable(value) == stored


def test_enums_are_told_by_name() -> None:
    assert plain({"colour": Colour.BLUE}) == {"colour": "BLUE"}
    kind = Kind("enum", ("RED", "BLUE"), (1, 2))
    assert to_document(2, kind) == "BLUE"
    assert to_document(3, kind) == 3
    assert to_document(True, kind) is True


def test_structs_are_told_with_names_and_containers_by_their_items() -> None:
    point = Kind("struct", ("x", "y"), parts=(PLAIN, PLAIN))
    assert to_document([1, 2], point) == {"x": 1, "y": 2}
    assert to_document({"y": 2, "x": 1}, point) == {"x": 1, "y": 2}
    assert to_document([[1, 2]], Kind("list", parts=(point,))) == [{"x": 1, "y": 2}]
    assert to_document([[1, 2], 3], Kind("tuple", parts=(point, PLAIN))) == [{"x": 1, "y": 2}, 3]
    pairs = Kind("dict", parts=(PLAIN, point))
    assert to_document({"$a": [1, 2]}, pairs) == [{"k": "$a", "v": {"x": 1, "y": 2}}]


@pytest.mark.parametrize("form", ["enum", "struct", "list", "tuple", "dict"])
@given(value=anything)
def test_a_value_that_is_not_what_its_field_says_is_told_all_the_same(
    form: Any, value: object
) -> None:
    kind = Kind(form, ("a",), (1,), (PLAIN,))
    through = msgspec.msgpack.decode(msgspec.msgpack.encode(plain(value)), strict=False)
    assert_storable(to_document(through, kind))


def test_what_is_huge_is_cut() -> None:
    made = plain({"text": "x" * 10_000, "list": list(range(1000)), "number": 10**5000})
    assert isinstance(made, dict)
    assert len(made["text"]) == 4096
    assert len(made["list"]) == 256
    assert len(made["number"]) <= 4096


def test_what_is_wide_and_deep_is_cut_in_all() -> None:
    deep: object = 1
    for _ in range(6):
        deep = [deep] * 200
    assert len(msgspec.msgpack.encode(plain(deep))) < 100_000


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("level", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_a_forged_value_is_told_as_deep_as_a_document_may_be(
    level: Callable[[object], object], own: bool
) -> None:
    value: object = 1
    kind = PLAIN
    for _ in range(400):
        value, kind = level(value), Kind("list", parts=(kind,))
    msgspec.msgpack.decode(msgspec.msgpack.encode(value))  # a journal may hold it

    def depth(of: object) -> int:
        items = of.values() if isinstance(of, dict) else of if isinstance(of, list) else ()
        return 1 + max(map(depth, items), default=0)

    for made in (storable(value, own=own), to_document(value, kind)):
        assert 20 < depth(made) < 80


def test_what_lies_within_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    msgspec.msgpack.encode(plain(loop))


def test_whatever_raises_is_told_by_its_type() -> None:
    class Nasty:
        def __str__(self) -> str:
            raise RuntimeError

    class Bag(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError

    assert plain(Nasty()) == "a Nasty"
    assert plain(Bag(a=1)) == "{'a': 1}"
    assert plain("\ud800") == "?"


def test_times_are_whole_milliseconds_and_never_raise() -> None:
    assert milliseconds(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert milliseconds(10**18) == datetime(1970, 1, 1, tzinfo=UTC)
