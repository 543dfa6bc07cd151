"""Element identities: references, patterns, and the elements that they select."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_descriptors import UNHURRIED
from tweed_shim.errors import UsageError
from tweed_shim.ocm import element_identity
from tweed_shim.ocm.component_descriptor import Resource

ELEMENTS = (
    Resource("image", "1.0.0", {"platform": "aws"}),
    Resource("image", "1.0.0", {"platform": "gcp"}),
    Resource("chart", "1.0.0"),
    Resource("chart", "2.0.0"),
    Resource("text", "1.0.0"),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"name": "text"}, 4),
        ({"name": "text", "version": "1.0.0"}, 4),
        ({"name": "text", "version": "2.0.0"}, None),
        ({"name": "image"}, None),
        ({"name": "image", "platform": "gcp"}, 1),
        ({"name": "image", "platform": "gcp", "size": "big"}, None),
        ({"platform": "gcp"}, None),
        ({"name": "chart"}, None),
        ({"name": "chart", "version": "2.0.0"}, 3),
        ({}, None),
    ],
)
def test_a_reference_needs_the_complete_identity(wanted: dict[str, str], found: int | None) -> None:
    assert element_identity.resolve(ELEMENTS, wanted) == (None if found is None else ELEMENTS[found])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"name": "image"}, [0, 1]),
        ({"platform": "gcp"}, [1]),
        ({"version": "1.0.0", "name": "chart"}, [2]),
        ({"platform": ""}, []),
        ({"other": "x"}, []),
    ],
)
def test_a_pattern_may_leave_out_any_attribute(pattern: dict[str, str], found: list[int]) -> None:
    assert element_identity.select(ELEMENTS, pattern) == [ELEMENTS[number] for number in found]


def test_command_line_words_are_parsed_into_a_pattern() -> None:
    assert element_identity.parse(["image", "platform=aws", "a=b=c"]) == {
        "name": "image",
        "platform": "aws",
        "a": "b=c",
    }
    assert element_identity.parse(["name=image"]) == {"name": "image"}
    assert element_identity.parse([]) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one", "two"], "'two' is a second name, after 'one'"),
        (["name=one", "two"], "'two' is a second name, after 'one'"),
        (["a=1", "one", "a=2"], "'2' is a second value for 'a', after '1'"),
        (["=x"], "'=x' has nothing before the '='"),
        (["one", "="], "'=' has nothing before the '='"),
    ],
)
def test_malformed_pattern_words_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        element_identity.parse(words)


def test_the_text_of_an_identity_begins_with_the_name() -> None:
    assert (
        element_identity.describe({"platform": "aws", "name": "image", "arch": "x"})
        == "name=image, arch=x, platform=aws"
    )
    assert element_identity.describe({}) == "anything"


FEW = st.sampled_from(["a", "b"])
RESOURCES = st.lists(
    st.builds(
        Resource,
        FEW,
        st.sampled_from(["1", "2"]),
        st.dictionaries(st.sampled_from(["x", "version"]), FEW, max_size=2),
    ),
    max_size=6,
    unique_by=lambda each: (each.name, each.version, frozenset(each.extra_identity.items())),
)


@given(RESOURCES)
@UNHURRIED
def test_every_element_is_found_by_its_identity_and_by_every_part_of_it(elements: list[Resource]) -> None:
    for element in elements:
        found = element_identity.of_element(element, elements)
        assert found["name"] == element.name
        alone = element_identity.of_element(element, [element])
        assert alone == {**element.extra_identity, "name": element.name}
        first = element_identity.resolve(elements, found)
        assert first is not None
        assert element_identity.of_element(first, elements) == found
        if "version" not in element.extra_identity:
            assert element in element_identity.select(elements, found)
            for key in found:
                part = {name: value for name, value in found.items() if name != key}
                assert element in element_identity.select(elements, part)


@given(RESOURCES)
@UNHURRIED
def test_identities_differ_where_extra_identities_name_no_version(elements: list[Resource]) -> None:
    plain = [each for each in elements if "version" not in each.extra_identity]
    identities = [tuple(sorted(element_identity.of_element(each, plain).items())) for each in plain]
    assert len(set(identities)) == len(identities)
    assert [element_identity.resolve(plain, dict(each)) for each in identities] == plain
