import os

import pytest

from tweed_shim.errors import ConfigError
from tweed_shim.image import platforms
from tweed_shim.image.platforms import Platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("Linux/aarch64", Platform("linux", "arm64", "v8")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("linux/riscv64", Platform("linux", "riscv64")),
    ],
)
def test_a_platform_is_read_as_people_write_it(text: str, platform: Platform) -> None:
    assert platforms.parse(text) == platform


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux/a b", "windows/amd64"]
)
def test_a_malformed_or_foreign_platform_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="platform"):
        platforms.parse(text)


def test_the_hosts_platform_is_the_kernels() -> None:
    machine = os.uname().machine
    assert platforms.host().os == "linux"
    assert platforms.host().architecture == platforms.ARCHITECTURES.get(machine, (machine, ""))[0]


def test_the_hosts_own_platform_needs_no_key_whether_named_or_not() -> None:
    assert platforms.key(None) == platforms.key(str(platforms.host())) == ""
    assert platforms.key("linux/s390x") == "linux/s390x"


@pytest.mark.parametrize(
    ("wanted", "offers", "best"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm64", ["linux/arm64"], "linux/arm64"),
        ("linux/arm64/v8", ["linux/arm64"], "linux/arm64"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/amd64/v3"], None),
        ("linux/amd64", ["linux/386", "linux/arm64"], None),
    ],
)
def test_the_highest_variant_that_still_runs_is_best(
    wanted: str, offers: list[str], best: str | None
) -> None:
    there = [Platform(*offer.split("/")) for offer in offers]
    found = platforms.best(platforms.parse(wanted), there)
    assert (None if found is None else str(found)) == best
