"""The ids of user namespaces."""

import pytest

from tweed_shim.host import userns


@pytest.mark.parametrize(
    ("granted", "own", "usable"),
    [
        ([(100000, 65536)], [(0, 4294967295)], [(100000, 65536)]),
        ([(100000, 65536)], [(0, 65536)], []),
        ([(100000, 65536), (10, 5)], [(0, 1), (10, 5)], [(10, 5)]),
        ([(10, 6)], [(0, 10), (10, 5)], []),
    ],
)
def test_only_ids_of_the_callers_own_namespace_are_used(
    granted: list[tuple[int, int]], own: list[tuple[int, int]], usable: list[tuple[int, int]]
) -> None:
    assert userns._usable(granted, own) == usable
