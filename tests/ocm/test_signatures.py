"""Signatures of component versions: what they cover, and the effect of each change."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from signed_tree import (
    GENERIC,
    LEAF,
    MIDDLE,
    PUBLIC,
    TOP,
    TREE,
    V3_FORM,
    blob_digest,
    compare,
    resource,
    signed_top,
    unsigned,
    verify,
)
from signing import digest_in
from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError, RegistryError, Unverifiable
from tweed_shim.ocm import element_identity, keys, normalisation, signatures
from tweed_shim.ocm.component_descriptor import (
    ComponentDescriptor,
    ComponentReference,
    Digest,
    Label,
    Provider,
)


def far_away(*_: object) -> None:
    raise Unverifiable("it is far away")


def contents(found: signatures.Verification) -> dict[str, str]:
    """The state of each resource and the reason."""
    return {
        f"{each.component} {element_identity.describe(each.identity)}": f"{each.state}: {each.why}".removesuffix(
            ": "
        )
        for each in found.checks
        if each.kind == signatures.RESOURCE
    }


@pytest.mark.parametrize("algorithm", [keys.PKCS1, keys.PSS])
@pytest.mark.parametrize("form", [*normalisation.ALGORITHMS])
@pytest.mark.parametrize("hash_algorithm", ["SHA-256", "SHA-512"])
def test_a_signature_covers_the_whole_tree(algorithm: str, form: str, hash_algorithm: str) -> None:
    found = verify(signed_top(kind=(hash_algorithm, form), algorithm=algorithm))
    assert (found.component, found.key) == (str(TOP), "the test's key")
    assert [*found.digests] == [str(TOP), str(MIDDLE), str(LEAF)]
    assert {each.hash_algorithm for each in found.digests.values()} == {hash_algorithm}
    assert [each.component for each in found.checks if each.kind == "component"] == [*found.digests]
    assert contents(found) == {
        "example.com/leaf:1.0.0 name=data, platform=aws": "ok",
        "example.com/middle:1.1.0 name=middle, version=1.0.0": "ok",
        "example.com/middle:1.1.0 name=middle, version=2.0.0": "ok",
        "example.com/top:v2.0.0 name=text, version=1.0.0": "ok",
        "example.com/top:v2.0.0 name=text, version=0.2.0": "not verified: its content is excluded from signatures",
    }
    assert found.is_signed
    assert not found.is_complete


def test_a_signature_is_verified_where_all_contents_are_compared() -> None:
    middle = signed_top({**TREE, str(TOP): replace(TOP, resources=TOP.resources[:2])})
    found = verify(middle)
    assert (found.is_signed, found.is_complete, found.is_verified) == (True, True, True)


@pytest.mark.parametrize("allowed", ["localBlob", "LocalBlob", "localblob/v1"])
def test_only_contents_that_could_not_be_compared_are_excepted_by_access_type(allowed: str) -> None:
    found = verify(signed_top(), content=far_away, allowed=[allowed])
    assert (found.is_signed, found.is_complete, found.is_verified) == (True, False, True)
    assert {(each.state, each.excepted) for each in found.checks if each.access} == {("not verified", True)}
    assert not verify(signed_top(), content=far_away, allowed=["wget"]).is_verified

    def other(*_: object) -> None:
        raise ComponentError("it is another")

    found = verify(signed_top(), content=other, allowed=[allowed])
    assert not found.is_verified
    assert {each.excepted for each in found.checks if each.state == "failed"} == {False}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (str(TOP), {"provider": Provider("evil")}),
        (str(TOP), {"resources": (resource("text"), *TOP.resources[2:])}),
        (str(MIDDLE), {"version": "1.1.0", "labels": (Label("new", 1, signing=True),)}),
        (str(LEAF), {"resources": ()}),
        (str(LEAF), {"creation_time": "2025-01-01T00:00:00Z"}),
    ],
)
def test_a_change_anywhere_in_the_tree_breaks_the_signature(name: str, change: dict[str, Any]) -> None:
    evil = {**TREE, name: replace(TREE[name], **change)}
    top = replace(evil[str(TOP)], signatures=signed_top().signatures)
    assert "does not match the component version" in unsigned(top, tree=evil)


def test_fields_that_no_signature_covers_may_change() -> None:
    other = replace(LEAF, labels=(LEAF.labels[0], Label("other", 2)), repository_contexts=({"type": "X"},))
    assert verify(signed_top(), tree={**TREE, str(LEAF): other}).is_signed


def test_changed_content_is_not_verified() -> None:
    evil = replace(LEAF, resources=(replace(LEAF.resources[0], digest=blob_digest("text")),))
    tree = {**TREE, str(LEAF): evil}
    found = verify(signed_top(tree), tree=tree, allowed=["localBlob"])
    assert (found.is_signed, found.is_verified) == (True, False)
    assert contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"] == (
        "failed: the resource data of example.com/leaf:1.0.0 is another"
    )


def test_unreachable_content_is_named() -> None:
    found = verify(signed_top(), content=far_away)
    assert not found.is_verified
    assert set(contents(found).values()) == {
        "not verified: it is far away",
        "not verified: its content is excluded from signatures",
    }


def test_content_without_a_digest_is_covered_by_no_signature() -> None:
    bare = {**TREE, str(LEAF): replace(LEAF, resources=(replace(LEAF.resources[0], digest=None),))}
    assert "does not match the component version" in unsigned(signed_top(), tree=bare)
    found = verify(signed_top(bare), tree=bare)
    assert (found.is_signed, found.is_verified) == (True, False)
    assert "it has no recorded digest" in contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"]


def test_a_signature_of_another_key_or_digest_is_refused() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = keys.PublicKey("the other key", other.public_key())
    assert "was not made with the other key" in unsigned(signed_top(), key=key)
    good = signed_top()
    [signature] = good.signatures
    for value in ("", "zz", "00" * 256, signature.value.value[:-2]):
        bad = replace(signature, value=replace(signature.value, value=value))
        assert "was not made with" in unsigned(replace(good, signatures=(bad,)))
    bad = replace(signature, digest=replace(signature.digest, value="00" * 32))
    assert "does not match the component version" in unsigned(replace(good, signatures=(bad,)))


@pytest.mark.parametrize(
    ("change", "state", "named"),
    [
        ({"digest": Digest("MD5", V3_FORM, "00")}, "not verified", "'MD5'"),
        ({"digest": Digest("SHA-256", "mine/v1", "00")}, "not verified", "'mine/v1'"),
        ({"name": "other"}, "failed", "has no signature 'sig'; use one of these: 'other'"),
    ],
)
def test_an_unknown_kind_of_signature_is_not_verified(change: dict[str, Any], state: str, named: str) -> None:
    good = signed_top()
    assert named in unsigned(replace(good, signatures=(replace(good.signatures[0], **change),)), state)


@pytest.mark.parametrize(
    ("value", "state", "named"),
    [
        ({"algorithm": "sigstore"}, "not verified", "'sigstore'"),
        ({"media_type": "text/plain"}, "not verified", "'text/plain'"),
        (
            {"media_type": keys.PEM, "value": "-----BEGIN SIGNATURE-----\nabc"},
            "not verified",
            "pem-file",
        ),
        (
            {
                "media_type": keys.PEM,
                "value": "-----BEGIN SIGNATURE-----\nSignature Algorithm: X\n\nQUJD\n-----END SIGNATURE-----",
            },
            "failed",
            "two algorithms",
        ),
    ],
)
def test_a_signature_in_an_unknown_encoding_is_not_verified(
    value: dict[str, Any], state: str, named: str
) -> None:
    good = signed_top()
    [signature] = good.signatures
    bad = replace(signature, value=replace(signature.value, **value))
    assert named in unsigned(replace(good, signatures=(bad,)), state)


def test_a_recorded_digest_of_a_reference_is_compared() -> None:
    right = digest_in(TREE, str(MIDDLE), Digest("SHA-256", V3_FORM, ""))
    for digest, holds in (
        (right, True),
        (replace(right, value="00"), False),
        (Digest("SHA-512", V3_FORM, "00"), True),
    ):
        middle, leaf = TOP.references
        top = replace(signed_top(), references=(replace(middle, digest=digest), leaf))
        if holds:
            assert verify(top).is_signed
        else:
            assert "refers to another example.com/middle:1.1.0" in unsigned(top)


@pytest.mark.parametrize("extra", [{"platform": "aws"}, {"platform": "aws", "version": "1.0.0"}])
def test_nested_digests_of_the_signed_component_version_are_compared(
    extra: dict[str, str],
) -> None:
    nested = [
        {
            "name": "data",
            "version": "1.0.0",
            "extraIdentity": extra,
            "digest": {
                "hashAlgorithm": "SHA-256",
                "normalisationAlgorithm": GENERIC,
                "value": blob_digest("data").value,
            },
        }
    ]
    bare = replace(LEAF, resources=(replace(LEAF.resources[0], digest=None),))
    top = replace(
        signed_top(),
        nested_digests=({"name": LEAF.name, "version": LEAF.version, "resourceDigests": nested},),
    )
    found = verify(top, tree={**TREE, str(LEAF): bare})
    assert contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"] == "ok"
    # The digest in the descriptor is not signed, and a download is compared with it.
    other = replace(LEAF, resources=(replace(LEAF.resources[0], digest=blob_digest("text")),))
    found = verify(top, tree={**TREE, str(LEAF): other})
    assert found.is_signed
    assert "failed: " in contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"]


def test_a_signature_with_an_old_hash_name_uses_the_old_names_everywhere() -> None:
    old = {
        name: replace(
            each,
            resources=tuple(
                replace(element, digest=element.digest and replace(element.digest, hash_algorithm="sha256"))
                for element in each.resources
            ),
        )
        for name, each in TREE.items()
        if name != str(TOP)
    }
    text = replace(TOP.resources[0], digest=replace(blob_digest("text"), hash_algorithm="sha256"))
    tree = {**old, str(TOP): replace(TOP, resources=(text, *TOP.resources[1:]))}
    assert verify(signed_top(tree, ("sha256", V3_FORM)), tree=tree).is_signed


def test_a_reference_cycle_is_named_with_its_path() -> None:
    loop = replace(LEAF, references=(ComponentReference("back", "v2.0.0", component="example.com/top"),))
    way = "example.com/top:v2.0.0 -> example.com/middle:1.1.0 -> example.com/leaf:1.0.0 -> example.com/top:v2.0.0"
    assert way in unsigned(signed_top(), tree={**TREE, str(LEAF): loop})


def test_references_that_are_nested_too_deeply_are_refused() -> None:
    def lookup(name: str, version: str) -> ComponentDescriptor:
        return replace(
            LEAF, version=version, references=(ComponentReference("on", f"{version}0", component=name),)
        )

    found = signatures.verify(signed_top(), "sig", PUBLIC, lookup=lookup, content=compare)
    assert "levels deep" in found.checks[0].why


@pytest.mark.parametrize("error", [ComponentError, RegistryError])
def test_a_component_version_that_is_missing_leaves_the_signature_unverified(error: type[Exception]) -> None:
    def lookup(name: str, version: str) -> ComponentDescriptor:
        raise error(f"{name}:{version} is nowhere")

    options: dict[str, Any] = {"lookup": lookup, "content": compare, "allowed": ["localBlob"]}
    found = signatures.verify(signed_top(), "sig", PUBLIC, **options)
    first = found.checks[0]
    assert (first.state, first.why) == ("not verified", "example.com/middle:1.1.0 is nowhere")
    assert not found.is_verified
