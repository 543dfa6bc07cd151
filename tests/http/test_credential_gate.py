"""The gate alone: which origin may be told a credential that was looked up for another."""

import pytest

from tweed_shim.http.credential_gate import may_ask_for_token, may_follow, may_send
from tweed_shim.http.urls import Origin, parse


def origin(text: str) -> Origin:
    return parse(text).origin


@pytest.mark.parametrize(
    ("found_for", "asked", "plainly", "insecurely"),
    [
        ("https://h", "https://h", True, True),
        ("https://h", "https://H.:443/any/path", True, True),
        ("https://h", "https://h:8443", False, False),
        ("https://h", "http://h:443", False, False),
        ("https://h", "http://h", False, False),
        ("http://h", "https://h", False, False),
        ("https://h", "https://other", False, False),
        ("https://h", "https://sub.h", False, False),
        ("https://127.0.0.1", "https://localhost", False, False),
        ("http://h", "http://h", False, True),
        ("http://localhost:5000", "http://localhost:5000", True, True),
        ("http://127.0.0.2:5000", "http://127.0.0.2:5000", True, True),
        ("http://[::1]:5000", "http://[0::1]:5000", True, True),
        # They reach this machine, but not by a name that says so.
        ("http://[::ffff:7f00:1]", "http://[::ffff:7f00:1]", False, True),
        ("http://0.0.0.0", "http://0.0.0.0", False, True),
        ("http://localhost.example", "http://localhost.example", False, True),
    ],
)
def test_a_credential_is_sent_only_to_its_origin(
    found_for: str, asked: str, plainly: bool, insecurely: bool
) -> None:
    assert may_send(origin(found_for), origin(asked), insecure=False) is plainly
    assert may_send(origin(found_for), origin(asked), insecure=True) is insecurely


@pytest.mark.parametrize(
    ("registry", "realm", "plainly", "insecurely"),
    [
        ("https://registry-1.docker.io", "https://auth.docker.io/token", True, True),
        ("https://h", "http://h/token", False, False),
        ("https://h", "http://localhost/token", False, False),
        ("https://localhost:5000", "http://localhost:5001", False, False),
        ("http://localhost:5000", "http://127.0.0.1:5001", True, True),
        ("http://localhost:5000", "https://h", True, True),
        ("http://localhost:5000", "http://h", False, True),
        ("http://h", "http://h", False, True),
        # Who reads the answer of a registry over plain HTTP can change the realm in it.
        ("http://h", "https://h", False, True),
    ],
)
def test_a_token_service_is_reached_as_safely_as_its_registry(
    registry: str, realm: str, plainly: bool, insecurely: bool
) -> None:
    assert may_ask_for_token(origin(registry), origin(realm), insecure=False) is plainly
    assert may_ask_for_token(origin(registry), origin(realm), insecure=True) is insecurely


def test_a_redirect_looks_for_credentials_only_while_it_stays() -> None:
    here, there = origin("https://h"), origin("https://other")
    assert may_follow([here], here)
    assert may_follow([here, here], here)
    assert not may_follow([here], there)
    assert not may_follow([here, there], here)
    assert not may_follow([here], origin("http://h"))
