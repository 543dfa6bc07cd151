"""Whatever a function is given: it answers, or says why not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynaml import fault
from tweed_shim import spiff
from tweed_shim.spiff.functions.registry import MODULES, find

# Those that change the machine, and those that may take their time.
APART = {"exec", "exec_uncached", "pipe", "pipe_uncached", "write", "mkdir", "bcrypt", "x509genkey"}
TEXTS = [
    "",
    "1",
    "1.5",
    "10.0.0.0/8",
    "10.0.0.1-10.0.0.9",
    "[a-z]",
    "(",
    "%d",
    "$1",
    "a: (( b ))",
    "map",
    "gt",
    "\0",
    "\udc80",
]
SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from(TEXTS),
    st.text(max_size=4),
)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "key", "value", "data", "path", "usage"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_function_is_where_it_is_said_to_be(name: str) -> None:
    found = find(name)
    assert found is not None
    assert found.name == name


@settings(deadline=None)
@given(
    st.sampled_from(sorted(MODULES.keys() - APART)),
    st.lists(VALUES, max_size=4),
    st.sampled_from(["private", "files"]),
)
def test_any_arguments_give_a_value_or_an_error(name: str, arguments: list[Any], mode: Any) -> None:
    bindings = {f"a{at}": argument for at, argument in enumerate(arguments)}
    try:
        value = spiff.merge(f"result: (( {name}({', '.join(bindings)}) ))", bindings=bindings, mode=mode)
        spiff.dump(value)
    except spiff.SpiffError:
        return


@pytest.mark.parametrize(
    "expression",
    [
        "join(long, [1..100])",
        'replace(long, "x", long)',
        'replace_match(long, "x", long)',
        'replace(long, "x", |m|->long)',
        'format("%s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s%[1]s", long long long long)',
    ],
)
def test_no_text_grows_beyond_all_bounds(expression: str) -> None:
    assert "would be longer than" in fault(expression, f'long: "{"x" * 1_000_000}"')
