"""The capabilities of a container: defaults, added ones and dropped ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.errors import ConfigError, HostError
from tweed_shim.runtime import capabilities

names = st.sampled_from(capabilities.NAMES)


@pytest.mark.parametrize("text", ["NET_RAW", "CAP_NET_RAW", "net_raw", "Cap_Net_Raw"])
def test_a_capability_is_known_by_every_form_of_its_name(text: str) -> None:
    assert capabilities.parse(text) == "CAP_NET_RAW"


@pytest.mark.parametrize("text", ["", "NET", "CAP_ALL", "CAP_CAP_NET_RAW", "NET_RAW,CHOWN"])
def test_an_unknown_capability_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=f"there is no capability {text!r}"):
        capabilities.parse(text)


def test_there_are_as_many_names_as_this_kernel_may_know() -> None:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        assert int(file.read()) < len(capabilities.NAMES)
    assert capabilities.NAMES.index("CAP_SYS_ADMIN") == 21


def test_without_options_a_container_has_those_defaults_that_the_caller_has() -> None:
    assert {*capabilities.choose((), (), capabilities.NAMES)} == capabilities.DEFAULT
    assert capabilities.choose((), (), ["CAP_KILL", "CAP_NET_RAW"]) == ("CAP_KILL",)


@given(st.sets(names), st.sets(names))
def test_added_capabilities_are_there_and_dropped_ones_are_not(add: set[str], drop: set[str]) -> None:
    add -= drop
    chosen = {*capabilities.choose(add, drop, capabilities.NAMES)}
    assert chosen == (capabilities.DEFAULT | add) - drop
    assert {*capabilities.choose(add, {"ALL"}, capabilities.NAMES)} == add
    assert {*capabilities.choose({"ALL"}, drop, capabilities.NAMES)} == {*capabilities.NAMES} - drop


def test_all_is_all_that_the_caller_has() -> None:
    assert capabilities.choose(("ALL",), (), ["CAP_KILL"]) == ("CAP_KILL",)


def test_a_capability_that_the_caller_lacks_is_refused() -> None:
    with pytest.raises(HostError, match="CAP_SYS_TIME cannot be added"):
        capabilities.choose(("CAP_SYS_TIME",), (), ["CAP_KILL"])
    with pytest.raises(ConfigError, match="CAP_KILL is to be added and dropped"):
        capabilities.choose(("CAP_KILL",), ("CAP_KILL",), capabilities.NAMES)
    with pytest.raises(ConfigError, match="ALL is to be added and dropped"):
        capabilities.choose(("ALL",), ("ALL",), capabilities.NAMES)


def test_the_bounding_set_is_read_from_a_status() -> None:
    assert capabilities.bounding("Name:\tx\nCapBnd:\t0000000000000021\n") == {"CAP_CHOWN", "CAP_KILL"}
    assert capabilities.bounding("") == frozenset()
