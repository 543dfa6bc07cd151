"""Consumer identities: the identity of a URL, and the best match of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_descriptors import UNHURRIED
from tweed_shim.http import urls
from tweed_shim.ocm import consumer_identity


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        (
            "https://charts.example/stable/",
            "hostname=charts.example, pathprefix=stable, port=443, scheme=https",
        ),
        ("http://h:81", "hostname=h, port=81, scheme=http"),
        ("https://[::1]:8443/a/%62", "hostname=::1, pathprefix=a/b, port=8443, scheme=https"),
    ],
)
def test_the_identity_of_a_url(url: str, identity: str) -> None:
    assert consumer_identity.describe(consumer_identity.of_url("X", urls.parse(url))) == f"{identity}, type=X"


HOSTS = st.sampled_from(["a.example", "b.example", ""])


IDENTITIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["OCIRegistry", "wget", "Other"])},
    optional={
        "hostname": HOSTS,
        "port": st.sampled_from(["443", "5000"]),
        "scheme": st.sampled_from(["https", "http"]),
        "pathprefix": st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map("/".join),
    },
)


@given(IDENTITIES, st.lists(IDENTITIES, max_size=8))
@UNHURRIED
def test_the_best_match_contradicts_no_attribute_and_no_match_is_missed(
    request_: dict[str, str], known: list[dict[str, str]]
) -> None:
    found = consumer_identity.best_match(request_, known)
    alone = [each for each in known if consumer_identity.best_match(request_, [each]) is not None]
    assert (found is None) == (not alone)
    if found is not None:
        assert found in alone
        assert found["type"] == request_["type"]
        if request_["type"] == "Other":
            assert found.items() <= request_.items()
            assert len(found) == max(map(len, alone))
        else:
            parts = (found.get("pathprefix", "") + "/").lstrip("/")
            assert (request_.get("pathprefix", "") + "/").startswith(parts)


@given(IDENTITIES)
@UNHURRIED
def test_an_identity_equal_to_the_request_matches_it(request_: dict[str, str]) -> None:
    assert consumer_identity.best_match(request_, [request_]) == request_
    assert consumer_identity.best_match(request_, [request_], matcher="exact") == request_
