"""Identities of elements, and versions of components: who is meant, and which is the newest."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component_descriptors import UNHURRIED, VERSIONS
from tweed_shim.base import semver
from tweed_shim.errors import BadVersion, UsageError
from tweed_shim.ocm import identity, versions
from tweed_shim.ocm.descriptor import Resource

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
def test_a_reference_names_all_that_tells_an_element_from_the_others(
    wanted: dict[str, str], found: int | None
) -> None:
    assert identity.resolve(ELEMENTS, wanted) == (None if found is None else ELEMENTS[found])


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
def test_a_pattern_leaves_out_what_it_will(pattern: dict[str, str], found: list[int]) -> None:
    assert identity.select(ELEMENTS, pattern) == [ELEMENTS[number] for number in found]


def test_words_of_a_command_line_are_a_pattern() -> None:
    assert identity.parse(["image", "platform=aws", "a=b=c"]) == {
        "name": "image",
        "platform": "aws",
        "a": "b=c",
    }
    assert identity.parse(["name=image"]) == {"name": "image"}
    assert identity.parse([]) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one", "two"], "'two' is one name too many, after 'one'"),
        (["name=one", "two"], "'two' is one name too many, after 'one'"),
        (["a=1", "one", "a=2"], "'2' is one value for 'a' too many, after '1'"),
        (["=x"], "'=x' has nothing before the '='"),
        (["one", "="], "'=' has nothing before the '='"),
    ],
)
def test_words_that_are_no_pattern_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        identity.parse(words)


def test_an_identity_for_people_begins_with_the_name() -> None:
    assert (
        identity.show({"platform": "aws", "name": "image", "arch": "x"}) == "name=image, arch=x, platform=aws"
    )
    assert identity.show({}) == "anything"


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
        found = identity.identity(element, elements)
        assert found["name"] == element.name
        alone = identity.identity(element, [element])
        assert alone == {**element.extra_identity, "name": element.name}
        first = identity.resolve(elements, found)
        assert first is not None
        assert identity.identity(first, elements) == found
        if "version" not in element.extra_identity:
            assert element in identity.select(elements, found)
            for key in found:
                part = {name: value for name, value in found.items() if name != key}
                assert element in identity.select(elements, part)


@given(RESOURCES)
@UNHURRIED
def test_identities_differ_where_extra_identities_name_no_version(elements: list[Resource]) -> None:
    plain = [each for each in elements if "version" not in each.extra_identity]
    identities = [tuple(sorted(identity.identity(each, plain).items())) for each in plain]
    assert len(set(identities)) == len(identities)
    assert [identity.resolve(plain, dict(each)) for each in identities] == plain


@pytest.mark.parametrize(
    ("there", "constraint", "newest"),
    [
        (["1.0.0", "v1.10.0", "1.9.0"], "", "v1.10.0"),
        (["1.0.0-rc.1", "0.9.0"], "", "1.0.0-rc.1"),
        (["1.0.0", "1.1.0", "2.0.0"], ">=1.0,<2", "1.1.0"),
        (["1.0.0", "1.2.0-rc.1"], ">=1.0", "1.0.0"),
        (["1.0.0", "1.2.0-rc.1"], ">=1.0-0", "1.2.0-rc.1"),
        (["1.0.0", "latest"], "", "1.0.0"),
        (["latest", "main"], "", "main"),
        (["latest"], "*", None),
        (["1.0.0"], "^2", None),
        ([], "", None),
    ],
)
def test_the_newest_version_that_is_wanted(there: list[str], constraint: str, newest: str | None) -> None:
    assert versions.newest(there, constraint) == newest


def test_a_constraint_is_told_from_a_version() -> None:
    assert versions.is_constraint(">=1.2,<2")
    assert versions.is_constraint("1.x")
    assert not versions.is_constraint("1.2")
    assert not versions.is_constraint("latest")
    with pytest.raises(BadVersion, match="'=!1'"):
        versions.newest(["1.0.0"], "=!1")


@given(st.lists(VERSIONS | st.sampled_from(["latest", "main"]), max_size=8, unique=True))
@settings(UNHURRIED, max_examples=50)
def test_versions_are_put_in_order_whatever_order_they_are_in(there: list[str]) -> None:
    found = versions.ordered(there)
    assert sorted(found) == sorted(there)
    assert versions.ordered(reversed(there)) == found
    known = [semver.parse(each) for each in found if each not in ("latest", "main")]
    assert all(semver.compare(a, b) <= 0 for a, b in pairwise(known))
    assert versions.newest(there) == (found[-1] if found else None)
