"""Versions of components: their order, and the newest that meets a constraint."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from component_descriptors import UNHURRIED, VERSIONS
from tweed_shim.base import semver
from tweed_shim.ocm import versions


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
def test_the_newest_version_that_meets_a_constraint(
    there: list[str], constraint: str, newest: str | None
) -> None:
    assert versions.newest(there, constraint) == newest


@given(st.lists(VERSIONS | st.sampled_from(["latest", "main"]), max_size=8, unique=True))
@settings(UNHURRIED, max_examples=50)
def test_versions_are_ordered_from_any_order(there: list[str]) -> None:
    found = versions.ordered(there)
    assert sorted(found) == sorted(there)
    assert versions.ordered(reversed(there)) == found
    known = [semver.parse(each) for each in found if each not in ("latest", "main")]
    assert all(semver.compare(a, b) <= 0 for a, b in pairwise(known))
    assert versions.newest(there) == (found[-1] if found else None)
