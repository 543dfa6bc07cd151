"""Signatures of component versions: verified, with all that they cover.

A signature is made of the digest of a descriptor's normal form. In there are the digests of its resources and of the
component versions that it refers to, theirs computed in the same way; so what is signed is the whole tree. Sources:
OCM specification, doc/02-processing (signing) and doc/04-extensions/04-algorithms, and the reference implementation.
"""

import hashlib
from collections.abc import Callable, Mapping

from tweed_shim.errors import ComponentError
from tweed_shim.ocm import identity, keys, normalisation, shapes
from tweed_shim.ocm.descriptor import HASHES, Descriptor, Digest, Reference, Resource, Signature
from tweed_shim.ocm.keys import PublicKey
from tweed_shim.records import Record, replace

_DEEPEST = 100
_OLD_HASHES = {"sha256": "SHA-256", "sha512": "SHA-512"}

Lookup = Callable[[str, str], Descriptor]
Content = Callable[[Descriptor, Resource, Digest], str]


class Checked(Record):
    """A resource that the signature covers by a digest.

    unverified: why its content was not compared with the digest, empty where it was, and is the same.
    """

    component: str
    resource: str
    unverified: str = ""


class Verification(Record):
    """What a valid signature says, and of what.

    digest: of the component version's normal form. key: what it was verified with. components: the digests of all
    component versions that it covers, itself first. resources: all resources of these.
    """

    component: str
    signature: Signature
    key: str
    components: Mapping[str, Digest]
    resources: tuple[Checked, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the content of every resource was compared with what is signed."""
        return not any(each.unverified for each in self.resources)


def verify(
    descriptor: Descriptor, name: str, key: PublicKey, *, lookup: Lookup, content: Content
) -> Verification:
    """Verify a signature, by its name.

    lookup: gives the component version that a reference names; raises ComponentError. content: compares the content
    of a resource with a digest; returns an empty text, or why that could not be done, and raises ComponentError
    where it is another content. Raises ComponentError where the signature does not hold, or is not there.
    """
    signature = _named(descriptor, name)
    if signature.digest.hash_algorithm not in HASHES:
        raise ComponentError(
            f"the signature {name!r} of {descriptor} is of a {signature.digest.hash_algorithm!r} digest, which is "
            f"not known: sign it with one of {', '.join(_OLD_HASHES.values())}"
        )
    walk = _Walk(descriptor, signature.digest, lookup, content)
    digest = walk.digest(descriptor)
    if digest.value != signature.digest.value.lower():
        raise ComponentError(
            f"the signature {name!r} of {descriptor} is not of what is there: the digest is {digest.value} "
            f"instead of {signature.digest.value}; do not use it"
        )
    keys.verify(key, signature, f"the signature {name!r} of {descriptor}")
    return Verification(str(descriptor), signature, key.what, dict(walk.digests), tuple(walk.resources))


def digest_of(descriptor: Descriptor, *, hash_algorithm: str, algorithm: str) -> Digest:
    """The digest of a descriptor as it is. Raises ComponentError for an algorithm that is not known."""
    found = hashlib.new(HASHES[hash_algorithm], normalisation.normalise(descriptor, algorithm))
    return Digest(hash_algorithm, algorithm, found.hexdigest())


def _named(descriptor: Descriptor, name: str) -> Signature:
    for signature in descriptor.signatures:
        if signature.name == name:
            return signature
    there = ", ".join(repr(each.name) for each in descriptor.signatures) or "none at all"
    raise ComponentError(f"{descriptor} has no signature {name!r}: it has {there}")


class _Walk:
    """The way through a component version and all that it refers to; the digests are of one kind."""

    def __init__(self, root: Descriptor, kind: Digest, lookup: Lookup, content: Content) -> None:
        self.root = root
        self.kind = kind
        self.lookup = lookup
        self.content = content
        self.digests: dict[str, Digest] = {}
        self.resources: list[Checked] = []

    def digest(self, descriptor: Descriptor, path: tuple[str, ...] = ()) -> Digest:
        """The digest of a descriptor, whose own digests are verified or computed first."""
        name = str(descriptor)
        way = (*path, name)
        if name in path:
            raise ComponentError(f"{self.root} refers to itself: {' -> '.join(way)}")
        if len(way) > _DEEPEST:
            raise ComponentError(f"{self.root} has references more than {_DEEPEST} levels deep")
        # The component version itself comes first, though what it refers to is done before it.
        self.digests.setdefault(name, self.kind)
        references = tuple(self._reference(each, way) for each in descriptor.references)
        resources = tuple(self._resource(descriptor, each) for each in descriptor.resources)
        effective = replace(descriptor, references=references, resources=resources)
        found = digest_of(
            effective, hash_algorithm=self.kind.hash_algorithm, algorithm=self.kind.normalisation
        )
        self.digests[name] = found
        return found

    def _reference(self, reference: Reference, way: tuple[str, ...]) -> Reference:
        known = self.digests.get(f"{reference.component}:{reference.version}")
        if known is None or known is self.kind:
            found = self.digest(self.lookup(reference.component, reference.version), way)
        else:
            found = known
        recorded = reference.digest
        if len(way) == 1 and recorded is not None and _kind(recorded) == _kind(found) and recorded != found:
            raise ComponentError(
                f"{self.root} refers to another {reference.component}:{reference.version} than there is: its digest "
                f"is {found.value} instead of {recorded.value}; do not use it"
            )
        return replace(reference, digest=found)

    def _resource(self, descriptor: Descriptor, resource: Resource) -> Resource:
        if not normalisation.has_content(resource):
            return replace(resource, digest=None)
        name = identity.show(identity.identity(resource, descriptor.resources))
        recorded = self._preset(descriptor, resource) or resource.digest
        if recorded is None:
            raise ComponentError(
                f"the resource {name} of {descriptor} has no digest, so that no signature can cover it: sign it again"
            )
        if recorded.is_excluded:
            unverified = "its content is excluded from signatures"
        else:
            unverified = self.content(descriptor, resource, _renamed(recorded, _OLD_HASHES))
        self.resources.append(Checked(str(descriptor), name, unverified))
        # A signature with an old name for its hash has it everywhere.
        names = (
            {new: old for old, new in _OLD_HASHES.items()} if self.kind.hash_algorithm in _OLD_HASHES else {}
        )
        return replace(resource, digest=_renamed(recorded, names))

    def _preset(self, descriptor: Descriptor, resource: Resource) -> Digest | None:
        """The digest that the signed component version keeps for a resource of one that it refers to."""
        extra = dict(resource.extra_identity)
        for component in self.root.nested_digests:
            if (component["name"], component["version"]) != (descriptor.name, descriptor.version):
                continue
            for each in component.get("resourceDigests") or ():
                if (each["name"], each.get("version")) != (resource.name, resource.version):
                    continue
                # Old normal forms add the version to the identity.
                if (each.get("extraIdentity") or {}) in (extra, {**extra, "version": resource.version}):
                    digest: Digest | None = shapes.DIGEST.read(each["digest"]) if each.get("digest") else None
                    return digest
        return None


def _kind(digest: Digest) -> tuple[str, str]:
    return digest.hash_algorithm, digest.normalisation


def _renamed(digest: Digest, names: Mapping[str, str]) -> Digest:
    return replace(digest, hash_algorithm=names.get(digest.hash_algorithm, digest.hash_algorithm))
