"""The credential requests of packages and executors: which match, and which are refused."""

from typing import Any

import pytest

from tweed_shim.errors import ComponentError
from tweed_shim.toi import credential_requests
from tweed_shim.toi.common_fields import CredentialRequest

PLAIN = CredentialRequest()
OPTIONAL = CredentialRequest(optional=True)
CONSUMER = {"type": "Kubernetes", "purpose": "target"}


def match(package: Any, executor: Any, mapping: Any = None) -> dict[str, str]:
    matched = credential_requests.match(package, executor, mapping or {}, whose="the package")
    return {name: each.executor_name for name, each in matched.items()}


@pytest.mark.parametrize(
    ("package", "executor", "mapping", "expected"),
    [
        ({"a": PLAIN, "b": OPTIONAL}, {}, {}, {"a": "a", "b": "b"}),
        ({"a": PLAIN, "b": PLAIN}, {}, {"a": "x"}, {"a": "x"}),
        ({}, {"x": PLAIN, "y": OPTIONAL}, {}, {"x": "x", "y": "y"}),
        ({}, {"x": PLAIN}, {"mine": "x"}, {"mine": "x"}),
        ({"a": PLAIN, "b": PLAIN}, {"a": PLAIN}, {}, {"a": "a"}),
        ({"a": PLAIN, "b": PLAIN}, {"x": PLAIN, "b": PLAIN}, {"a": "x"}, {"a": "x", "b": "b"}),
        ({"a": PLAIN}, {"a": PLAIN, "x": PLAIN}, {}, {"a": "a", "x": "x"}),
        ({"a": PLAIN}, {"a": PLAIN, "x": OPTIONAL}, {}, {"a": "a"}),
        ({"a": PLAIN}, {"a": PLAIN, "x": OPTIONAL}, {"a": "a"}, {"a": "a"}),
        ({"a": PLAIN}, {"x": PLAIN}, {"new": "x"}, {"new": "x"}),
        ({"a": OPTIONAL}, {"a": OPTIONAL}, {}, {"a": "a"}),
        ({"a": PLAIN}, {"a": OPTIONAL}, {}, {"a": "a"}),
    ],
)
def test_credential_requests_of_package_and_executor_are_matched(
    package: Any, executor: Any, mapping: Any, expected: Any
) -> None:
    assert match(package, executor, mapping) == expected


@pytest.mark.parametrize(
    ("own", "wanted", "mapping", "message"),
    [
        (PLAIN, CredentialRequest(consumer_id=CONSUMER), {}, "the consumer ids differ"),
        (PLAIN, CredentialRequest(properties={"a": "", "b": ""}), {}, "does not declare the properties a, b"),
        (OPTIONAL, PLAIN, {}, "optional in the package, and the executor requires them"),
        (PLAIN, PLAIN, {"name": "other"}, "maps no credentials to 'name'"),
        (PLAIN, PLAIN, {"a": "name", "b": "name"}, r"maps several credentials \(a, b\) to 'name'"),
    ],
)
def test_credential_requests_that_differ_are_refused(
    own: Any, wanted: Any, mapping: Any, message: str
) -> None:
    with pytest.raises(ComponentError, match=message):
        match({"name": own}, {"name": wanted}, mapping)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": "x", "b": "x"}, r"the package maps several credentials \(a, b\) to 'x' of its executor"),
        ({"a": ""}, "the package maps the credentials 'a' to no name"),
    ],
)
def test_a_credential_mapping_that_would_lose_credentials_is_refused(mapping: Any, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        match({"a": PLAIN, "b": PLAIN}, {}, mapping)
    assert match({"b": PLAIN}, {}, {**mapping, "b": "y"}) == {"b": "y"}
