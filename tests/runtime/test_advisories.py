"""The versions of runtimes with known faults."""

import pytest

from tweed_shim.runtime import advisories


@pytest.mark.parametrize(
    ("version", "follows"),
    [
        ("runc version 1.1.5+ds1", True),
        ("runc version 1.0.0-rc93", True),
        ("runc version 1.2.9", True),
        ("runc version 1.3.5", True),
        ("runc version 1.3.6", False),
        ("runc version 1.3.10", False),
        ("runc version 1.4.0-rc.3", True),
        ("runc version 1.4.2-0ubuntu1", True),
        ("runc version 1.4.3", False),
        ("runc version 1.5.0-rc.2", True),
        ("runc version 1.5.0-rc.3", False),
        ("runc version 1.5.0", False),
        ("runc version 1.5.0-rc.1+dev", False),
        ("runc version 1.10.1", False),
        ("runc version 2.0.0", False),
        ("runc version unknown", False),
        ("crun version 1.8.1", False),
    ],
)
def test_versions_that_follow_links_of_dev_are_known(version: str, follows: bool) -> None:
    assert advisories.follows_links_of_dev(version) is follows
