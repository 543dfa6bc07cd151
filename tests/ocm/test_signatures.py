"""Normal forms and signatures of component versions: what they cover, and what a change of it does."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings

from component_descriptors import DESCRIPTORS, UNHURRIED
from signing import PRIVATE, digest_in, signature_of
from token_servers import openssl
from tweed_shim.errors import ComponentError, ConfigError, HostError, RegistryError, Unverifiable
from tweed_shim.ocm import codec, identity, keys, normalisation, signatures
from tweed_shim.ocm.descriptor import (
    EXCLUDED,
    NO_DIGEST,
    V3,
    Descriptor,
    Digest,
    Label,
    Provider,
    Reference,
    Resource,
    Source,
)
from tweed_shim.records import replace

GENERIC = "genericBlobDigest/v1"
V3_FORM = normalisation.V3_ALGORITHM
NOW = datetime.now(UTC).replace(microsecond=0)
SECOND = timedelta(seconds=1)
BLOBS = {"middle": b"the middle", "data": b"a leaf", "text": b"on top"}


def blob_digest(name: str, algorithm: str = "SHA-256") -> Digest:
    found = hashlib.new(algorithm.replace("-", ""), BLOBS[name])
    return Digest(algorithm, GENERIC, found.hexdigest())


def resource(name: str, version: str = "1.0.0", **more: Any) -> Resource:
    fields: dict[str, Any] = {
        "type": "blob",
        "relation": "local",
        "access": {"type": "localBlob", "localReference": "x"},
        "digest": blob_digest(name),
        **more,
    }
    return Resource(name, version, **fields)


LEAF = Descriptor(
    "example.com/leaf",
    "1.0.0",
    Provider("acme", (Label("signed", {"b": [1, 2.5, "x<y"], "a": 1e21}, signing=True), Label("not", 1))),
    labels=(Label("audit", "yes", "v1", signing=True, merge={"algorithm": "default/v1"}), Label("not", 1)),
    resources=(resource("data", extra_identity={"platform": "aws"}),),
    creation_time="2024-05-01T14:00:00.4+02:00",
)
MIDDLE = Descriptor(
    "example.com/middle",
    "1.1.0",
    Provider("acme"),
    resources=(resource("middle"), replace(resource("middle"), version="2.0.0")),
    references=(Reference("leaf", "1.0.0", {"kind": "y"}, (Label("not", 1),), component="example.com/leaf"),),
)
TOP = Descriptor(
    "example.com/top",
    "v2.0.0",
    Provider("acme"),
    sources=(Source("src", "1.0.0", labels=(Label("not", 1),), type="git", access={"type": "gitHub"}),),
    resources=(
        resource("text"),
        resource("text", "0.1.0", access={"type": "none"}),
        resource("text", "0.2.0", digest=Digest(NO_DIGEST, EXCLUDED, NO_DIGEST)),
    ),
    references=(
        Reference("middle", "1.1.0", component="example.com/middle"),
        Reference("leaf", "1.0.0", component="example.com/leaf"),
    ),
)
TREE = {str(each): each for each in (LEAF, MIDDLE, TOP)}


@pytest.mark.parametrize(
    ("algorithm", "schema", "digest"),
    [
        ("jsonNormalisation/v1", "v2", "dab802db5590d7e1e0efd5d0cc21f25b3d4236530056fa4ce17e57b77503d189"),
        ("jsonNormalisation/v1", V3, "3bda1f53edd3c7fc1716d96c539a13a22129b50ee3835a00b4a9fb8f9ec9e1c2"),
        ("jsonNormalisation/v2", "v2", "a861700a8da6e10dfa8e20de9462d6d6ab8360e52880f77e6eed538ab487381c"),
        ("jsonNormalisation/v3", V3, "1fc92e0396db1abc74a9d7bfe8e5f3024fdc8f21053d9f75483666ef066df7d9"),
        (
            "jsonNormalisation/v4alpha1",
            "v2",
            "1fc92e0396db1abc74a9d7bfe8e5f3024fdc8f21053d9f75483666ef066df7d9",
        ),
    ],
)
def test_the_digests_of_the_normal_forms_are_those_of_the_reference(
    algorithm: str, schema: str, digest: str
) -> None:
    one = replace(
        MIDDLE, schema=schema, labels=LEAF.labels, creation_time=LEAF.creation_time, sources=TOP.sources
    )
    found = signatures.digest_of(one, hash_algorithm="SHA-256", algorithm=algorithm)
    assert found == Digest("SHA-256", algorithm, digest)


def test_what_is_signed_of_a_descriptor() -> None:
    form = normalisation.normalise(replace(LEAF, references=MIDDLE.references), V3_FORM)
    assert form.decode() == (
        '{"component":{"componentReferences":[{"componentName":"example.com/leaf","extraIdentity":{"kind":"y"},'
        '"labels":[{"name":"not","value":1}],"name":"leaf","version":"1.0.0"}],"creationTime":"2024-05-01T12:00:00Z",'
        '"labels":[{"name":"audit","signing":true,"value":"yes","version":"v1"}],"name":"example.com/leaf",'
        '"provider":{"labels":[{"name":"signed","signing":true,"value":{"a":1e+21,"b":[1,2.5,"x<y"]}}],"name":"acme"},'
        f'"resources":[{{"digest":{{"hashAlgorithm":"SHA-256","normalisationAlgorithm":"{GENERIC}",'
        f'"value":"{blob_digest("data").value}"}},"extraIdentity":{{"platform":"aws"}},"name":"data",'
        '"relation":"local","type":"blob","version":"1.0.0"}],"sources":[],"version":"1.0.0"}}'
    )


def test_the_first_normal_form_has_lists_of_single_entries() -> None:
    form = normalisation.normalise(replace(LEAF, resources=(), creation_time=""), "jsonNormalisation/v1")
    assert form.decode() == (
        '[{"component":[{"componentReferences":[]},{"labels":[[{"name":"audit"},{"signing":true},{"value":"yes"},'
        '{"version":"v1"}]]},{"name":"example.com/leaf"},{"provider":[{"labels":[[{"name":"signed"},{"signing":true},'
        '{"value":[{"a":1e+21},{"b":[1,2.5,"x\\u003cy"]}]}]]},{"name":"acme"}]},{"resources":[]},{"version":"1.0.0"}]},'
        '{"meta":[{"schemaVersion":"v2"}]}]'
    )


@given(DESCRIPTORS)
@settings(UNHURRIED, max_examples=30)
def test_no_transport_changes_a_normal_form(descriptor: Descriptor) -> None:
    moved = replace(
        descriptor,
        repository_contexts=({"type": "Other"},),
        signatures=(),
        resources=tuple(
            replace(each, access={**each.access, "moved": "yes"}, source_references=(), unknown={"x": 1})
            for each in descriptor.resources
        ),
        labels=tuple(each for each in descriptor.labels if each.signing),
        unknown={"x": 1},
    )
    for algorithm in normalisation.ALGORITHMS:
        form = normalisation.normalise(descriptor, algorithm)
        assert normalisation.normalise(moved, algorithm) == form
        assert normalisation.normalise(codec.decode(codec.encode(descriptor)), algorithm) == form
        if algorithm != normalisation.V1_ALGORITHM:
            assert normalisation.normalise(replace(descriptor, schema=V3), algorithm) == form


def test_an_unknown_normal_form_and_a_number_without_one_are_refused() -> None:
    with pytest.raises(ComponentError, match="jsonNormalisation/v3"):
        normalisation.normalise(LEAF, "jsonNormalisation/v9")
    with pytest.raises(ComponentError, match="number that is too large"):
        normalisation.normalise(replace(LEAF, labels=(Label("x", 10**400, signing=True),)), V3_FORM)


PUBLIC = keys.PublicKey("the test's key", PRIVATE.public_key())


def signed_top(
    tree: dict[str, Descriptor] = TREE, kind: tuple[str, str] = ("SHA-256", V3_FORM), **options: Any
) -> Descriptor:
    digest = digest_in(tree, str(TOP), Digest(*kind, ""))
    return replace(tree[str(TOP)], signatures=(signature_of(digest, **options),))


def verify(descriptor: Descriptor, **options: Any) -> signatures.Verification:
    tree = options.pop("tree", TREE)
    content = options.pop("content", compare)
    key = options.pop("key", PUBLIC)
    return signatures.verify(
        descriptor,
        "sig",
        key,
        lookup=lambda name, version: tree[f"{name}:{version}"],
        content=content,
        allowed=options.pop("allowed", ()),
    )


def compare(descriptor: Descriptor, element: Resource, digest: Digest) -> None:
    if digest.value != blob_digest(element.name, digest.hash_algorithm).value:
        raise ComponentError(f"the resource {element.name} of {descriptor} is another")


def far_away(*_: object) -> None:
    raise Unverifiable("it is far away")


def unsigned(descriptor: Descriptor, state: str = signatures.FAILED, **options: Any) -> str:
    """Why a signature does not hold; nothing may be looked at then, and nothing be allowed."""
    seen: list[object] = []
    options = {"content": lambda *each: seen.append(each), "allowed": ["localBlob"], **options}
    found = verify(descriptor, **options)
    assert seen == []
    assert (found.is_signed, found.is_verified, found.is_complete) == (False, False, False)
    assert {(each.state, each.excepted) for each in found.checks[1:]} <= {(signatures.UNVERIFIED, False)}
    assert (found.checks[0].kind, found.checks[0].state) == (signatures.SIGNATURE, state)
    return found.checks[0].why


def contents(found: signatures.Verification) -> dict[str, str]:
    """Of each resource its state, and why."""
    return {
        f"{each.component} {identity.show(each.identity)}": f"{each.state}: {each.why}".removesuffix(": ")
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


def test_all_is_verified_where_all_is_compared() -> None:
    middle = signed_top({**TREE, str(TOP): replace(TOP, resources=TOP.resources[:2])})
    found = verify(middle)
    assert (found.is_signed, found.is_complete, found.is_verified) == (True, True, True)


@pytest.mark.parametrize("allowed", ["localBlob", "LocalBlob", "localblob/v1"])
def test_only_what_could_not_be_compared_is_excepted_by_its_type_of_access(allowed: str) -> None:
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
    assert "is not of what is there" in unsigned(top, tree=evil)


def test_what_no_signature_covers_may_change() -> None:
    other = replace(LEAF, labels=(LEAF.labels[0], Label("other", 2)), repository_contexts=({"type": "X"},))
    assert verify(signed_top(), tree={**TREE, str(LEAF): other}).is_signed


def test_content_that_is_another_breaks_the_signature() -> None:
    evil = replace(LEAF, resources=(replace(LEAF.resources[0], digest=blob_digest("text")),))
    tree = {**TREE, str(LEAF): evil}
    found = verify(signed_top(tree), tree=tree, allowed=["localBlob"])
    assert (found.is_signed, found.is_verified) == (True, False)
    assert contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"] == (
        "failed: the resource data of example.com/leaf:1.0.0 is another"
    )


def test_content_that_cannot_be_had_is_named() -> None:
    found = verify(signed_top(), content=far_away)
    assert not found.is_verified
    assert set(contents(found).values()) == {
        "not verified: it is far away",
        "not verified: its content is excluded from signatures",
    }


def test_content_without_a_digest_is_covered_by_no_signature() -> None:
    bare = {**TREE, str(LEAF): replace(LEAF, resources=(replace(LEAF.resources[0], digest=None),))}
    assert "is not of what is there" in unsigned(signed_top(), tree=bare)
    found = verify(signed_top(bare), tree=bare)
    assert (found.is_signed, found.is_verified) == (True, False)
    assert "no digest is recorded" in contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"]


def test_a_signature_of_another_key_or_of_another_digest() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key = keys.PublicKey("the other key", other.public_key())
    assert "was not made with the other key" in unsigned(signed_top(), key=key)
    good = signed_top()
    [signature] = good.signatures
    for value in ("", "zz", "00" * 256, signature.value.value[:-2]):
        bad = replace(signature, value=replace(signature.value, value=value))
        assert "was not made with" in unsigned(replace(good, signatures=(bad,)))
    bad = replace(signature, digest=replace(signature.digest, value="00" * 32))
    assert "is not of what is there" in unsigned(replace(good, signatures=(bad,)))


@pytest.mark.parametrize(
    ("change", "state", "named"),
    [
        ({"digest": Digest("MD5", V3_FORM, "00")}, "not verified", "'MD5'"),
        ({"digest": Digest("SHA-256", "mine/v1", "00")}, "not verified", "'mine/v1'"),
        ({"name": "other"}, "failed", "has no signature 'sig': it has 'other'"),
    ],
)
def test_a_signature_that_is_not_known(change: dict[str, Any], state: str, named: str) -> None:
    good = signed_top()
    assert named in unsigned(replace(good, signatures=(replace(good.signatures[0], **change),)), state)


@pytest.mark.parametrize(
    ("value", "state", "named"),
    [
        ({"algorithm": "sigstore"}, "not verified", "'sigstore'"),
        ({"media_type": "text/plain"}, "not verified", "'text/plain'"),
        ({"media_type": keys.PEM, "value": "-----BEGIN SIGNATURE-----\nabc"}, "not verified", "pem-file"),
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
def test_a_signature_that_is_written_in_no_known_way(value: dict[str, Any], state: str, named: str) -> None:
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
def test_digests_of_nested_resources_that_only_the_signed_component_version_has(
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
    # What is recorded beside it is not signed, and what a download is compared with.
    other = replace(LEAF, resources=(replace(LEAF.resources[0], digest=blob_digest("text")),))
    found = verify(top, tree={**TREE, str(LEAF): other})
    assert found.is_signed
    assert "failed: " in contents(found)["example.com/leaf:1.0.0 name=data, platform=aws"]


def test_old_names_of_hashes_are_used_throughout() -> None:
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


def test_references_in_a_cycle_are_named_with_the_way() -> None:
    loop = replace(LEAF, references=(Reference("back", "v2.0.0", component="example.com/top"),))
    way = "example.com/top:v2.0.0 -> example.com/middle:1.1.0 -> example.com/leaf:1.0.0 -> example.com/top:v2.0.0"
    assert way in unsigned(signed_top(), tree={**TREE, str(LEAF): loop})


def test_references_without_end_are_refused() -> None:
    def lookup(name: str, version: str) -> Descriptor:
        return replace(LEAF, version=version, references=(Reference("on", f"{version}0", component=name),))

    found = signatures.verify(signed_top(), "sig", PUBLIC, lookup=lookup, content=compare)
    assert "levels deep" in found.checks[0].why


@pytest.mark.parametrize("error", [ComponentError, RegistryError])
def test_a_component_version_that_is_missing_leaves_the_signature_unverified(error: type[Exception]) -> None:
    def lookup(name: str, version: str) -> Descriptor:
        raise error(f"{name}:{version} is nowhere")

    options: dict[str, Any] = {"lookup": lookup, "content": compare, "allowed": ["localBlob"]}
    found = signatures.verify(signed_top(), "sig", PUBLIC, **options)
    first = found.checks[0]
    assert (first.state, first.why) == ("not verified", "example.com/middle:1.1.0 is nowhere")
    assert not found.is_verified


def certificate(*names: tuple[Any, str], days: tuple[int, int] = (0, 1)) -> bytes:
    subject = x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    first, last = (NOW + timedelta(days=each) for each in days)
    builder = x509.CertificateBuilder(subject, subject, PRIVATE.public_key(), 1, first, last)
    return builder.sign(PRIVATE, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_certificate_has_to_be_that_of_the_issuer() -> None:
    name = x509.NameOID
    data = certificate(
        (name.COUNTRY_NAME, "DE"), (name.ORGANIZATION_NAME, "Acme"), (name.COMMON_NAME, "acme")
    )
    key = keys.parse(data, "the certificate")
    for issuer in ("", "CN=acme,O=Acme,C=DE", "CN=acme", "O=Acme"):
        assert verify(signed_top(issuer=issuer), key=key).key == "the certificate"
    for issuer in ("CN=evil", "CN=acme,O=Evil", "no name"):
        assert "says that" in unsigned(signed_top(issuer=issuer), key=key)


ACME = (x509.NameOID.COMMON_NAME, "acme")


@pytest.mark.parametrize("days", [(-2, -1), (1, 2)], ids=["expired", "not yet valid"])
def test_a_certificate_outside_its_time_is_refused_unless_another_time_counts(days: tuple[int, int]) -> None:
    data = certificate(ACME, days=days)
    with pytest.raises(ConfigError, match=r"^the certificate is valid from .* and not at 20.*Z: .*at="):
        keys.parse(data, "the certificate")
    middle = NOW + timedelta(days=sum(days) / 2)
    assert verify(signed_top(), key=keys.parse(data, "the certificate", at=middle)).is_signed
    # Both ends belong to it.
    first, last = (NOW + timedelta(days=each) for each in days)
    for time, holds in ((first, True), (last, True), (first - SECOND, False), (last + SECOND, False)):
        if holds:
            assert keys.parse(data, "the certificate", at=time).certificate is not None
        else:
            with pytest.raises(ConfigError, match="is valid from"):
                keys.parse(data, "the certificate", at=time)


def test_of_a_chain_the_first_certificate_counts() -> None:
    expired = certificate((x509.NameOID.COMMON_NAME, "root"), days=(-2, -1))
    key = keys.parse(certificate(ACME) + expired, "the chain")
    assert verify(signed_top(issuer="CN=acme"), key=key).is_signed
    with pytest.raises(ConfigError, match="is valid from"):
        keys.parse(expired + certificate(ACME), "the chain")


@pytest.mark.parametrize("bits", [1024, 2047])
@pytest.mark.parametrize("form", ["key", "certificate"])
def test_a_key_that_can_be_broken_is_refused(tmp_path: Path, bits: int, form: str) -> None:
    key = str(tmp_path / "key")
    openssl("genrsa", "-out", key, str(bits))
    if form == "key":
        data = openssl("rsa", "-in", key, "-pubout")
    else:
        data = openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=acme", "-days", "2")
    with pytest.raises(ConfigError, match=f"^the key has {bits} bits, and RSA keys of less than 2048"):
        keys.parse(data, "the key")


@pytest.mark.parametrize("bits", [2048, 4096])
def test_a_signature_of_openssl(tmp_path: Path, bits: int) -> None:
    key, digest = str(tmp_path / "key"), digest_in(TREE, str(TOP), Digest("SHA-256", V3_FORM, ""))
    openssl("genrsa", "-out", key, str(bits))
    made = openssl(
        "pkeyutl", "-sign", "-inkey", key, "-pkeyopt", "digest:sha256", data=bytes.fromhex(digest.value)
    )
    signature = signature_of(digest, value=made.hex())
    public = keys.parse(openssl("rsa", "-in", key, "-pubout"), "the key")
    assert verify(replace(TOP, signatures=(signature,)), key=public).is_signed


def test_a_signature_in_pem() -> None:
    import base64

    good = signed_top()
    [signature] = good.signatures
    body = base64.encodebytes(bytes.fromhex(signature.value.value)).decode()
    for header in ("", "Signature Algorithm: RSASSA-PKCS1-V1_5\n\n"):
        text = f"-----BEGIN SIGNATURE-----\n{header}{body}-----END SIGNATURE-----\n"
        written = replace(signature, value=replace(signature.value, value=text, media_type=keys.PEM))
        assert verify(replace(good, signatures=(written,))).is_signed


@pytest.mark.parametrize("form", ["SubjectPublicKeyInfo", "PKCS1"])
def test_a_public_key_is_read_from_its_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / "key.pub"
    format_ = {"PKCS1": serialization.PublicFormat.PKCS1}.get(
        form, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.write_bytes(PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, format_))
    assert verify(signed_top(), key=keys.load(str(path))).key == f"the public key {path}"


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    for data in (b"", b"text", b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(ConfigError, match="neither a public key nor a certificate"):
            keys.parse(data, "it")
    with pytest.raises(ConfigError, match="no RSA key"):
        keys.parse(elliptic.public_bytes(pem, info), "it")
    with pytest.raises(ConfigError, match="nonesuch"):
        keys.load(str(tmp_path / "nonesuch"))


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hashes", None)
    with pytest.raises(HostError, match=r"tweed-shim\[crypto\]"):
        verify(signed_top())
