"""Expressions are parsed as the grammar says, print as what parses to the same, and tell where they are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.base.records import Record, fields
from tweed_shim.spiff.expressions.markers import Marker, Merge
from tweed_shim.spiff.expressions.references import Reference
from tweed_shim.spiff.recursion import deep
from tweed_shim.spiff.syntax.parser import parse
from tweed_shim.spiff.syntax.scanner import MAX_DEPTH, MAX_LINKS
from tweed_shim.spiff.syntax.tokens import SyntaxFault


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("1 + 2 * 3", "1 + ( 2 * 3 )"),
        ("1 * 2 + 3", "( 1 * 2 ) + 3"),
        ("10 - 4 - 3", "( 10 - 4 ) - 3"),
        ("8 / 4 / 2", "( 8 / 4 ) / 2"),
        ("1 + 2 == 3", "( 1 + 2 ) == 3"),
        ("a == 1 -and b == 2", "( a == 1 ) -and ( b == 2 )"),
        ("a -or b -and c", "( a -or b ) -and c"),
        ("a b + 1", "a ( b + 1 )"),
        ("a == b c", "( a == b ) c"),
        ("a b || c d", "( a b ) || ( c d )"),
        ("a ? b :c || d", "a ? b : ( c || d )"),
        ("!a -and b", "( !a ) -and b"),
        ("*t.a b", "( *( t.a ) ) b"),
    ],
)
def test_what_binds_tighter_is_evaluated_first(text: str, grouped: str) -> None:
    def shape(expression: object) -> object:
        if isinstance(expression, tuple):
            return tuple(map(shape, expression))
        if not isinstance(expression, Record):
            return expression
        parts = fields(expression)
        if type(expression).__name__ == "Group":
            return shape(parts["inner"])
        return (type(expression).__name__, *map(shape, parts.values()))

    assert shape(parse(text)) == shape(parse(grouped))


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("a", Reference(("a",))),
        (".a.b", Reference(("", "a", "b"))),
        ("a.[0].b", Reference(("a", "[0]", "b"))),
        ("a[-1]", Reference(("a", "[-1]"))),
        ("a-b.c_d", Reference(("a-b", "c_d"))),
        ("list.name:first.x", Reference(("list", "name:first", "x"))),
        ("tag::a.b", Reference(("a", "b"), "tag")),
        ("lib.v1::.", Reference(("",), "lib.v1")),
        ("doc.-1::a", Reference(("a",), "doc.-1")),
        ("truely", Reference(("truely",))),
        ("merged", Reference(("merged",))),
        ("nil_value", Reference(("nil_value",))),
    ],
)
def test_references(text: str, reference: Reference) -> None:
    assert parse(text) == reference


def test_a_merge_knows_its_own_path_and_says_where_it_is_redirected() -> None:
    here = ("a", "b")
    assert parse("merge", here, here) == Merge(here)
    assert parse("merge", here, ("c",)) == Merge(("c",), redirect=True, required=True)
    assert parse("merge replace x.y", here, here) == Merge(
        ("x", "y"), redirect=True, replace=True, required=True
    )
    assert parse("merge on key", here, here) == Merge(here, key_name="key")
    assert parse("merge none", here, here) == Merge((), redirect=True, nothing=True)
    assert parse("merge required", here, here) == Merge(here, required=True)


def test_markers_are_told_apart_from_what_they_mark() -> None:
    marked = parse('&temporary &tag:*lib.x (a "b")')
    assert isinstance(marked, Marker)
    assert marked.names == ("&temporary", "&tag:*lib.x")
    assert marked.tag == "*lib.x"
    assert str(marked.inner) == '( a "b" )'
    assert parse("&template &local") == Marker(("&template", "&local"))


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a +", 1, 3),
        ("(a", 1, 3),
        ('"a', 1, 1),
        ("f(a,)", 1, 5),
        ("[1, 2", 1, 6),
        ("{ $a 1 }", 1, 8),
        ("|x, 1", 1, 6),
        ("a ? b", 1, 6),
        ("a b)", 1, 4),
        ("a ==\n b ==\n )", 3, 2),
        ("&nonsense", 1, 1),
        ("map[a|b", 1, 8),
        ("$", 1, 2),
        ("", 1, 1),
    ],
)
def test_a_fault_tells_line_and_column_and_points_to_them(text: str, line: int, column: int) -> None:
    with pytest.raises(SyntaxFault) as fault:
        parse(text)
    head, shown, caret = str(fault.value).split("\n")
    assert head.startswith(f"parse error in line {line}, column {column}: ")
    assert shown == "\t" + (text.split("\n")[line - 1] if text else "")
    assert caret.index("^") == column


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
        "!" * (MAX_LINKS + 1) + "a",
        "a" + "()" * (MAX_LINKS + 1),
    ],
)
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    with deep("the test"), pytest.raises(SyntaxFault, match=r"nested more than|more than .* operators"):
        parse(text)


def test_a_concatenation_may_be_as_long_as_it_likes() -> None:
    assert str(parse(" ".join(["a.b"] * 20_000))).count("a.b") == 20_000


_names = st.sampled_from(["a", "b.c", ".d", "e.[0]", "t::x"])
_scalars = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.sampled_from(["true", "false", "~", "~~", '"text"', '"with \\"quotes\\""', "$name", "10.0.0.1"]),
    _names,
)


def _larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "%", "==", "<=", "-and", "-or", "||", "//"])
    return st.one_of(
        st.builds("{} {} {}".format, parts, operators, parts),
        st.builds("{} {}".format, parts, parts),
        st.builds("({})".format, parts),
        st.builds("!({})".format, parts),
        st.builds("[{}, {}...]".format, parts, parts),
        st.builds("{{ $k = {}, $l = {} }}".format, parts, parts),
        st.builds("({}) ? {} :{}".format, parts, parts, parts),
        st.builds("f({}, {})".format, parts, parts),
        st.builds("f*(x={}, {})".format, parts, parts),
        st.builds("map[{}|x|->{}]".format, parts, parts),
        st.builds("sum[{}|{}|s,x|->{}]".format, parts, parts, parts),
        st.builds("(lambda |x,y=1|->{})".format, parts),
        st.builds("( $n = {} ) {}".format, parts, parts),
        st.builds("({}).[1..{}]".format, parts, parts),
        st.builds("({}).[*].x".format, parts),
    )


@given(st.recursive(_scalars, _larger, max_leaves=12))
def test_what_an_expression_prints_can_be_parsed(text: str) -> None:
    try:
        expression = parse(text)
    except SyntaxFault:
        return
    printed = str(expression)
    if "[*]" in printed or "[[" in printed:
        # Projections and slices are printed as the reference prints them, which is not what it reads.
        return
    parse(printed)


@given(st.text(alphabet=st.sampled_from('ab1. "()[]{}|!*-+/?:=<>&$~,\\\n_')))
def test_any_text_is_an_expression_or_a_fault(text: str) -> None:
    reason = ""
    try:
        str(parse(text))
    except SyntaxFault as fault:
        reason = str(fault)
    assert reason.count("\n") in (0, 2)
