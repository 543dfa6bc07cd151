"""The feature `interpolation`: expressions within strings."""

from typing import Any

import pytest

from dynaml import exact
from tweed_shim import spiff

VALUES = "host: example.org\nport: 80\nlist: [a, b]\non2: true\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("http://(( host ))/", "http://example.org/"),
        (" (( host )):(( port ))", " example.org:80"),
        ("x (( port + 1 )) z", "x 81 z"),
        ("(( list )) tail", ["a", "b", " tail"]),
        ("is (( on2 ))", "is true"),
        ("(( port ))", 80),
        ("a ((! port )) b", "a (( port )) b"),
        ("a ((!! port )) b", "a ((! port )) b"),
        ("((! port ))", "(( port ))"),
        ("a (( port )) ((! port ))", "a 80 (( port ))"),
        ("open (( port", "open (( port"),
        ("close port ))", "close port ))"),
        ("a (b) ((", "a (b) (("),
        ("((( port )))", 80),
        ("x ((( port ))) z", "x (80) z"),
        ('say \\"hi\\" to (( host ))', 'say "hi" to example.org'),
        ('len (( length("four") ))', "len 4"),
        ('join (( join("))", list) )) end', "join a))b end"),
        ("(( 1 )) (( 2 )) (( 3 )).", "1 2 3."),
        ('(( missing || \\"none\\" )) given', "none given"),
    ],
)
def test_strings_with_expressions(text: str, expected: Any) -> None:
    merged = spiff.merge(f'{VALUES}result: "{_quote(text)}"\n', features=["interpolation"])
    assert exact(merged["result"]) == exact(expected)


def _quote(text: str) -> str:
    return text if "\\" in text else text.replace('"', '\\"')


def test_without_the_feature_they_are_text() -> None:
    assert spiff.merge("a: x (( b )) z\nb: 1\n") == {"a": "x (( b )) z", "b": 1}


def test_a_result_that_is_such_a_string_is_interpolated_again() -> None:
    assert spiff.merge('a: in (( "(( b ))" b ))\nb: v\n', features=["interpolation"]) == {
        "a": "in vv",
        "b": "v",
    }


def test_stubs_and_lists_are_interpolated_too() -> None:
    assert spiff.merge(
        'a: (( merge ))\nl: ["<(( a ))>"]\n', "a: v(( 1 + 1 ))\n", features=["interpolation"]
    ) == {
        "a": "v2",
        "l": ["<v2>"],
    }


def test_what_cannot_be_resolved_is_told() -> None:
    with pytest.raises(spiff.SpiffError, match="'missing' not found"):
        spiff.merge("a: x (( missing ))\n", features=["interpolation"])


@pytest.mark.parametrize("features", [[], ["interpolation"], ["control", "interpolation"]])
def test_features_are_known_within(features: list[str]) -> None:
    merged = spiff.merge('a: (( features() ))\nb: (( features("control") ))\n', features=features)
    assert sorted(merged["a"]) == features
    assert merged["b"] is ("control" in features)


def test_an_unknown_feature() -> None:
    with pytest.raises(spiff.SpiffError, match=r"unknown feature flag .flying"):
        spiff.merge("a: 1\n", features=["flying"])
