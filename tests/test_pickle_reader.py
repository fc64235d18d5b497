"""The pickle reader: plain data equals that of Python's unpickler; other content is refused."""

from __future__ import annotations

import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from imavatar_deploy.untrusted import pickle_arrays
from imavatar_deploy.untrusted.pickle_arrays import as_array
from imavatar_deploy.untrusted.pickle_reader import ForeignObjectError, StandIn, load

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_what_python_makes_of_it(value: Any, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol), lambda origin: None) == value


@settings(max_examples=60, deadline=None)
@given(
    array=arrays(
        st.sampled_from(["f4", ">f8", "i2", "u1", "?"]),
        array_shapes(min_dims=0, max_dims=4, min_side=0),
    ),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_arrays_are_what_numpy_makes_of_them(array: np.ndarray, protocol: int) -> None:
    for one in (array, np.asfortranarray(array)):
        read = as_array(
            load(pickle.dumps({"x": one}, protocol), pickle_arrays.CONSTRUCTORS.get)["x"]
        )
        np.testing.assert_array_equal(read, one)
        assert read.dtype.kind == one.dtype.kind


def test_bytes_and_sets() -> None:
    assert load(pickle.dumps([b"\x00\xff", bytearray(b"a")], 5), lambda origin: None) == [
        b"\x00\xff",
        b"a",
    ]
    assert sorted(load(pickle.dumps({1, 2, 3}, 4), lambda origin: None)) == [1, 2, 3]


def test_one_thing_twice_is_one_thing() -> None:
    shared: list[Any] = [1]
    first, second = load(pickle.dumps([shared, shared], 4), lambda origin: None)
    assert first is second


def test_a_name_that_is_not_admitted_is_told() -> None:
    with pytest.raises(ForeignObjectError) as caught:
        load(pickle.dumps(os.system, 4), pickle_arrays.CONSTRUCTORS.get)
    assert caught.value.origin == f"{os.system.__module__}.system"


SPOILT = {
    "nothing": b"",
    "no end": pickle.dumps([1, 2], 4)[:-1],
    "no instruction": b"\x80\x04\xf7.",
    "a call of no name": b"\x80\x04K\x01)R.",
    "a call with no tuple": b"cnumpy\nndarray\nK\x01R.",
    "nothing to pop": b"\x80\x040.",
    "no mark": b"\x80\x04t.",
    "nothing at that place": b"\x80\x04h\x07.",
    "a reference to the outside": b"\x80\x04K\x01Q.",
    "an odd number of keys and values": b"\x80\x04}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bu.",
    "an extension of Python's own": b"\x80\x04\x82\x01.",
    "a string without quotes": b"Sabc\n.",
    "no name at all": b"c \n \n.",
}


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT.keys())
def test_what_is_no_pickle_of_data_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        load(content, pickle_arrays.CONSTRUCTORS.get)


def test_state_reaches_stand_ins_alone() -> None:
    """BUILD on a dictionary or a list has no effect."""
    for value in (b"}", b"]", b"cnumpy\nndarray\n"):
        read = load(
            b"\x80\x04" + value + b"}X\x01\x00\x00\x00aK\x01sb.", pickle_arrays.CONSTRUCTORS.get
        )
        assert not isinstance(read, StandIn)
        assert not hasattr(read, "a")


def test_there_is_an_end_to_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imavatar_deploy.untrusted.pickle_reader.MAX_OPERATIONS", 100)
    with pytest.raises(ValueError, match="more than 100 instructions"):
        load(b"\x80\x04" + b"]0" * 60 + b"].", lambda origin: None)
