"""Character classes agree with the regular expressions that they replace."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.base.text import LOWER, joined, made_of, visible
from tweed_shim.errors import BadReference
from tweed_shim.http import hosts
from tweed_shim.image import reference

LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# The distribution specification, "Pulling manifests".
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
# The image specification, "Annotations": org.opencontainers.image.ref.name.
LAYOUT = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
# Classes of UAX #9 that reorder what is beside them.
BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
NEARLY = st.text("aZ0._-:@+/é² \n[]", max_size=8)


@given(NEARLY | st.text())
def test_a_text_is_made_of_letters(text: str) -> None:
    assert made_of(LOWER, text) == (re.fullmatch("[a-z]+", text) is not None)


@given(NEARLY | st.text())
def test_letters_are_joined_by_separators(text: str) -> None:
    assert joined("ab0", {"-", "--", "Z"}, text) == (
        re.fullmatch("[ab0]+((-|--|Z)[ab0]+)*", text) is not None
    )


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\x1b\x07\n\t\x7f\x9b\u202e\u2066")))
def test_visible_text_has_no_control_characters_and_is_one_line(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert {each for each in shown if unicodedata.category(each) == "Cc"} <= {"\t"}
    assert not BIDI_CONTROLS & {unicodedata.bidirectional(each) for each in shown}
    assert visible(shown) == shown


def test_visible_leaves_harmless_text_unchanged() -> None:
    harmless = "naïve\t日本 👩\u200d💻 a\xa0b"
    assert visible(harmless) == harmless
    assert visible("a\x1b[31m\n\u202e") == r"a\x1b[31m\n\u202e"


@given(NEARLY)
def test_a_registry_is_a_host_and_perhaps_a_port(text: str) -> None:
    match = re.fullmatch(rf"({LABEL}(?:\.{LABEL})*)(?::[0-9]{{1,5}})?", text)
    # What ends in a number is an address.
    named = match is not None and not match[1].rpartition(".")[2].isdigit()
    address = match is not None and match[1] == "0.0.0.0"
    assert (hosts.split(text) is not None) == (named or address or text in ("[::]", "[::0]", "[0::]"))


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        (f"{COMPONENT}(/{COMPONENT})*", "r.example/{}:t"),
        (TAG, "r.example/x:{}"),
        (f"{TAG}|{LAYOUT}(/{LAYOUT})*", "oci:x:{}"),
    ],
)
@given(
    text=st.text("a0._-:@+/é²", min_size=1, max_size=8)
    # Longer ones meet the bounds on the length.
    | st.from_regex(f"({COMPONENT}/?){{1,3}}", fullmatch=True).map(lambda text: text[:100])
)
def test_the_parts_of_a_reference_are_what_the_specifications_say(
    pattern: str, prefix: str, text: str
) -> None:
    try:
        reference.parse(prefix.format(text))
        is_taken = True
    except BadReference:
        is_taken = False
    assert is_taken == (re.fullmatch(pattern, text) is not None)
