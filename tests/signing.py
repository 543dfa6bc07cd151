"""Signed component versions, with the digests of everything that they reference."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from tweed_shim.base.records import replace
from tweed_shim.ocm import descriptor_codec, keys, normalisation, signatures
from tweed_shim.ocm.component_descriptor import ComponentDescriptor, Digest, Signature, SignatureValue
from tweed_shim.ocm.repository import Addition

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
HASHES = {"SHA-256": hashes.SHA256(), "SHA-512": hashes.SHA512(), "sha256": hashes.SHA256()}


def digested(tree: Mapping[str, ComponentDescriptor], name: str, kind: Digest) -> ComponentDescriptor:
    """Return a component version with the digests of its references, as a signature covers them."""
    descriptor = tree[name]
    references = tuple(
        replace(each, digest=digest_in(tree, f"{each.component}:{each.version}", kind))
        for each in descriptor.references
    )
    resources = tuple(
        each if normalisation.has_content(each) else replace(each, digest=None)
        for each in descriptor.resources
    )
    return replace(descriptor, references=references, resources=resources)


def digest_in(tree: Mapping[str, ComponentDescriptor], name: str, kind: Digest) -> Digest:
    """Return the digest of a component version; `tree` has it and all references by `name:version`."""
    one = digested(tree, name, kind)
    return signatures.descriptor_digest(one, hash_algorithm=kind.hash_algorithm, algorithm=kind.normalisation)


def signature_of(
    digest: Digest,
    algorithm: str = keys.PKCS1,
    *,
    name: str = "sig",
    key: rsa.RSAPrivateKey = PRIVATE,
    **value: Any,
) -> Signature:
    """Return a signature of a digest; `value` has other fields of its value."""
    kind = HASHES[digest.hash_algorithm]
    scheme = (
        padding.PKCS1v15() if algorithm == keys.PKCS1 else padding.PSS(padding.MGF1(kind), kind.digest_size)
    )
    signed = key.sign(bytes.fromhex(digest.value), scheme, utils.Prehashed(kind))
    fields = {
        "algorithm": algorithm,
        "value": signed.hex(),
        "media_type": keys.HEXADECIMAL[0],
        **value,
    }
    return Signature(name, digest, SignatureValue(**fields))


def signed(
    addition: Addition, *references: Addition, form: str = normalisation.V3_ALGORITHM, **options: Any
) -> Addition:
    """Return a component version with a signature; `references` are all that it references at any depth."""
    tree = {str(each.descriptor): each.descriptor for each in (addition, *references)}
    digest = digest_in(tree, str(addition.descriptor), Digest("SHA-256", form, ""))
    about = replace(addition.descriptor, signatures=(signature_of(digest, **options),))
    return Addition(about, descriptor_codec.encode(about), addition.blobs)
