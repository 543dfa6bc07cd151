"""What holds for every input: data stays as it is, dump and load are each other's opposites, order does not matter,
and whatever the input is, it ends in a value or in a SpiffError."""

import json
import math
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dynaml import exact
from tweed_shim import spiff

PRINTABLE = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff"), max_size=12
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
    PRINTABLE.filter(lambda text: "((" not in text),
)
KEYS = PRINTABLE.filter(lambda key: "((" not in key and not key.startswith("<<") and ":" not in key)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
NAMES = st.sampled_from("abcdefgh")
OPERATORS = st.sampled_from([" ", " + ", " - ", " * ", " / ", " % ", " == ", " < ", " || ", " // ", " -and "])
EXPRESSIONS = st.recursive(
    st.one_of(
        st.integers(-20, 20).map(str),
        NAMES,
        st.sampled_from(["true", "~", '"s"', "[1, 2]", "{$k = 1}", "merge", "~~", "l[0]", "m.k", "_", "[1..3]", "*t"]),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, OPERATORS, inner).map("".join),
        inner.map("({})".format),
        inner.map("!{}".format),
        inner.map("[{}]".format),
        inner.map("length({})".format),
        inner.map("map[l|x|->{}]".format),
        inner.map("sum[l|0|s,x|->{}]".format),
        inner.map("(|x|->{})(1)".format),
        inner.map("catch({})".format),
        inner.map("&temporary ({})".format),
        st.tuples(inner, inner, inner).map(lambda parts: "{} ? {} :{}".format(*parts)),
        st.tuples(inner, inner).map(lambda parts: "join({}, {})".format(*parts)),
    ),
    max_leaves=6,
)  # fmt: skip


def _outcome(template: str, *stubs: str, **options: Any) -> str:
    try:
        return exact(spiff.merge(template, *stubs, **options))
    except spiff.SpiffError as error:
        return "\n".join(sorted(str(error).splitlines()))


@given(DATA)
@settings(deadline=None)
def test_data_without_expressions_stays_as_it_is(data: Any) -> None:
    text = json.dumps(data, ensure_ascii=False)
    assert exact(spiff.merge(text)) == exact(data)
    assert exact(spiff.merge(text, features=["interpolation", "control"])) == exact(data)


@given(DATA)
@settings(deadline=None)
def test_what_is_dumped_is_read_as_the_same(data: Any) -> None:
    assert exact(spiff.merge(spiff.dump(data))) == exact(data)
    assert exact(json.loads(spiff.dump(data, "json"))) == exact(data)


@given(st.floats())
@settings(deadline=None)
def test_floats_are_dumped_and_read_as_the_same(number: float) -> None:
    read = spiff.merge(spiff.dump([number, 1]))[0]
    assert read == number or (math.isnan(read) and math.isnan(number))


@given(st.dictionaries(NAMES, EXPRESSIONS, min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_keys_never_matters(entries: dict[str, str], chance: random.Random) -> None:
    lines = [f"{key}x: {json.dumps(f'(( {value} ))')}\n" for key, value in entries.items()]
    lines += ["l: [3, 1]\n", "m: {k: 2}\n", "a: 1\n", "t:\n  <<: (( &template ))\n  v: (( a ))\n"]
    expected = _outcome("".join(lines))
    chance.shuffle(lines)
    assert _outcome("".join(lines)) == expected


@given(
    st.dictionaries(NAMES, EXPRESSIONS, max_size=4),
    st.dictionaries(NAMES, EXPRESSIONS, max_size=4),
    st.booleans(),
)
@settings(deadline=None)
def test_any_expressions_end_in_a_value_or_an_error(
    template: dict[str, str], stub: dict[str, str], partial: bool
) -> None:
    texts = [json.dumps({key: f"(( {value} ))" for key, value in each.items()}) for each in (template, stub)]
    _outcome(*texts, partial=partial, features=["control", "interpolation"])


PIECES = st.sampled_from(
    ["((", "))", " ", "a", ".", "[", "]", "{", "}", "(", ")", "|", "->", "+", '"', "\\", "!", "~", "&template", "*",
     "::", "merge", "map[", "sum[", "..", "...", "1", "$", "=", ",", "?", ":", "-or", "<<", "\n", "'", "_", "%", "é"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_mangled_expressions_end_in_a_value_or_an_error(text: str) -> None:
    for template in (f"a: {json.dumps(f'(( {text} ))')}\nb: 1\n", f"a: {json.dumps(text)}\n"):
        _outcome(template)
        _outcome(template, partial=True, features=["interpolation"])


@given(st.one_of(st.text(max_size=60), st.text("ab:-[]{}&*!|>'\"%@`#\n\t ,?(1.", max_size=60)))
@settings(max_examples=300, deadline=None)
def test_mangled_documents_end_in_a_value_or_an_error(text: str) -> None:
    _outcome(text)
    _outcome("a: (( merge || 1 ))\n", text, features=["control", "interpolation"])
