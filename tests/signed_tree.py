"""A tree of component versions, a signature of its root, and the verification of the signature."""

import hashlib
from typing import Any

from signing import PRIVATE, digest_in, signature_of
from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import keys, normalisation, signatures
from tweed_shim.ocm.component_descriptor import (
    EXCLUDED,
    NO_DIGEST,
    ComponentDescriptor,
    ComponentReference,
    Digest,
    Label,
    Provider,
    Resource,
    Source,
)

GENERIC = "genericBlobDigest/v1"
V3_FORM = normalisation.V3_ALGORITHM
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


LEAF = ComponentDescriptor(
    "example.com/leaf",
    "1.0.0",
    Provider("acme", (Label("signed", {"b": [1, 2.5, "x<y"], "a": 1e21}, signing=True), Label("not", 1))),
    labels=(Label("audit", "yes", "v1", signing=True, merge={"algorithm": "default/v1"}), Label("not", 1)),
    resources=(resource("data", extra_identity={"platform": "aws"}),),
    creation_time="2024-05-01T14:00:00.4+02:00",
)
MIDDLE = ComponentDescriptor(
    "example.com/middle",
    "1.1.0",
    Provider("acme"),
    resources=(resource("middle"), replace(resource("middle"), version="2.0.0")),
    references=(
        ComponentReference("leaf", "1.0.0", {"kind": "y"}, (Label("not", 1),), component="example.com/leaf"),
    ),
)
TOP = ComponentDescriptor(
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
        ComponentReference("middle", "1.1.0", component="example.com/middle"),
        ComponentReference("leaf", "1.0.0", component="example.com/leaf"),
    ),
)
TREE = {str(each): each for each in (LEAF, MIDDLE, TOP)}


PUBLIC = keys.PublicKey("the test's key", PRIVATE.public_key())


def signed_top(
    tree: dict[str, ComponentDescriptor] = TREE, kind: tuple[str, str] = ("SHA-256", V3_FORM), **options: Any
) -> ComponentDescriptor:
    digest = digest_in(tree, str(TOP), Digest(*kind, ""))
    return replace(tree[str(TOP)], signatures=(signature_of(digest, **options),))


def verify(descriptor: ComponentDescriptor, **options: Any) -> signatures.Verification:
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


def compare(descriptor: ComponentDescriptor, element: Resource, digest: Digest) -> None:
    if digest.value != blob_digest(element.name, digest.hash_algorithm).value:
        raise ComponentError(f"the resource {element.name} of {descriptor} is another")


def unsigned(descriptor: ComponentDescriptor, state: str = signatures.FAILED, **options: Any) -> str:
    """Return why a signature is not valid; no content may be compared and no exception may count then."""
    seen: list[object] = []
    options = {"content": lambda *each: seen.append(each), "allowed": ["localBlob"], **options}
    found = verify(descriptor, **options)
    assert seen == []
    assert (found.is_signed, found.is_verified, found.is_complete) == (False, False, False)
    assert {(each.state, each.excepted) for each in found.checks[1:]} <= {(signatures.UNVERIFIED, False)}
    assert (found.checks[0].kind, found.checks[0].state) == (signatures.SIGNATURE, state)
    return found.checks[0].why
