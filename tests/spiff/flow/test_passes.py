"""What the passes are made of: YAML as it is read, paths that are followed, chains that are long, bounds that hold."""

import math
import sys
import threading
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim import spiff
from tweed_shim.spiff.tree import output
from tweed_shim.spiff.tree.nodes import Node
from tweed_shim.spiff.tree.paths import components, find
from tweed_shim.spiff.tree.plain import plain, wrapped
from tweed_shim.spiff.tree.reading import ReadFault, read, scalar
from tweed_shim.spiff.tree.size import measure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None), ("null", None), ("Null", None), ("", None), ("nULL", "nULL"),
        ("y", True), ("Yes", True), ("ON", True), ("true", True), ("n", False), ("No", False), ("oFf", False),
        ("yep", "yep"), ("one", "one"),
        ("12", 12), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0x1F", 31), ("0b101", 5), ("0o17", 15), ("017", 15),
        ("09", 9.0), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-1.5E-2", -0.015), ("1__0", 10),
        ("9223372036854775807", 2**63 - 1), ("9223372036854775808", 2.0**63), ("-9223372036854775808", -(2**63)),
        (".inf", math.inf), ("-.INF", -math.inf), ("1e999", "1e999"),
        ("2020-01-02", "2020-01-02"), ("12:30", "12:30"), ("1.2.3", "1.2.3"), ("-", "-"), ("+", "+"), (".", "."),
        ("0x", "0x"), ("1a", "1a"), ("10.0.0.1", "10.0.0.1"),
    ],
)  # fmt: skip
def test_plain_scalars_stand_for_what_the_reference_reads(text: str, value: Any) -> None:
    result = scalar(text)
    assert (type(result), result) == (type(value), value)


def test_quoted_scalars_are_text_and_keys_have_to_be() -> None:
    (node,) = read("a: '1'\nb: \"yes\"\n'1': c\n", "x")
    assert output.plain_data(node) == {"a": "1", "b": "yes", "1": "c"}
    with pytest.raises(ReadFault, match=r"line 2, column 1: .* quote it"):
        read("a: b\n1: c\n", "x")


def test_an_alias_is_what_its_anchor_names() -> None:
    (node,) = read("a: &x {b: [1]}\nc: *x\nd: &y 5\ne: [*y, *x]\n", "x")
    assert output.plain_data(node) == {"a": {"b": [1]}, "c": {"b": [1]}, "d": 5, "e": [5, {"b": [1]}]}


@pytest.mark.parametrize("text", ["a: *x", "a: &x [*x]", "- [", "a: b: c", "\x00", "{a: 1", "%YAML 9"])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(ReadFault):
        read(text, "x")


@pytest.mark.parametrize(
    ("text", "leading", "path"),
    [
        ("a.b", True, ("a", "b")),
        (".a.b", True, ("", "a", "b")),
        (".a.b", False, ("a", "b")),
        ("a.[0].b", True, ("a", "[0]", "b")),
        ("a[0][1].b", True, ("a", "[0]", "[1]", "b")),
        (".[0]", False, ("[0]",)),
    ],
)
def test_the_steps_of_a_path(text: str, leading: bool, path: tuple[str, ...]) -> None:
    assert components(text, leading=leading) == path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("l.[0].x", 1),
        ("l.[-1].x", 2),
        ("l.one.x", 1),
        ("l.id:two.x", 2),
        ("l.[2]", None),
        ("l.[-3]", None),
        ("l.three", None),
        ("m.x", None),
        ("l.[0].x.y", None),
    ],
)
def test_paths_go_through_maps_and_lists_by_index_and_by_name(path: str, value: Any) -> None:
    (node,) = read("l: [{name: one, id: eins, x: 1}, {name: dos, id: two, x: 2}]", "x")
    found = find(node, components(path, leading=False), control=False)
    assert (found.value if found else None) == value


@pytest.mark.parametrize("order", [1, -1, 7])
def test_a_chain_of_a_thousand_references_is_followed_in_any_order(order: int) -> None:
    count = 1009
    names = [f"k{number * order % count:04d}" for number in range(count)]
    chain = [f"{one}: (( {other} + 1 ))" for one, other in pairwise(names)]
    result = spiff.merge("\n".join([*chain, f"{names[-1]}: 0"]))
    assert result[names[0]] == count - 1


def test_what_is_shared_is_counted_wherever_it_is_and_looked_at_once() -> None:
    value: Any = [Node(1, "x")]
    for _ in range(60):
        value = [Node(value, "x"), Node(value, "x")]
    size, depth = measure(Node(value, "x"))
    assert size == 3 * 2**60 - 1
    assert depth == 61
    seen = plain(value)
    assert seen[0] is seen[1]


def test_functions_give_parts_of_their_arguments_back_with_all_that_is_known_of_them() -> None:
    (node,) = read("[{a: 1}, {b: 2}]", "x")
    seen = plain(node.value)
    assert seen == [{"a": 1}, {"b": 2}]
    back = wrapped([seen[1], "new"], "y")
    assert back[0].value is node.value[1].value
    assert back[1].value == "new"
    assert wrapped(seen, "y") is node.value


def test_the_limit_of_recursion_is_what_it_was_and_threads_do_not_disturb_each_other() -> None:
    limit = sys.getrecursionlimit()
    template = "f: (( |x|->x > 0 ? _(x - 1) + 1 :0 ))\na: (( .f(400) ))"
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(spiff.merge(template)["a"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [400] * 4
    assert sys.getrecursionlimit() == limit


def test_what_nothing_is_evaluated_in_is_the_same_node_after_the_passes() -> None:
    from tweed_shim.spiff.expressions.environment import Environment, State
    from tweed_shim.spiff.flow.fixpoint import flow
    from tweed_shim.spiff.merging import Engine

    (node,) = read("a: {b: [1, {c: x}]}\nd: ~\n", "x")
    (stub,) = read("e: 5\n", "y")
    result, unresolved = flow(Environment(State(Engine()), "x", [stub]), node)
    assert result.value is node.value
    assert unresolved is None


@given(
    st.recursive(st.integers() | st.text(max_size=3), lambda part: st.lists(part, max_size=3), max_leaves=10)
)
def test_plain_and_wrapped_are_each_other_s_opposites(value: Any) -> None:
    assert output.plain_data(wrapped(value, "x")) == value
