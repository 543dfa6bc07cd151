"""Signatures of component versions: verified, with all that they cover.

A signature is made of the digest of a descriptor's normal form. In there are the digests of its resources and of the
component versions that it refers to, theirs computed in the same way; so what is signed is the whole tree. Sources:
OCM specification, doc/02-processing (signing) and doc/04-extensions/04-algorithms, and the reference implementation.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ComponentError, RegistryError, Unverifiable
from tweed_shim.ocm import identity, keys, normalisation, shapes
from tweed_shim.ocm.descriptor import (
    HASHES,
    Descriptor,
    Digest,
    Fields,
    Identity,
    Reference,
    Resource,
    Signature,
)
from tweed_shim.ocm.keys import PublicKey
from tweed_shim.ocm.repository import kind_of

OK = "ok"
FAILED = "failed"
UNVERIFIED = "not verified"

SIGNATURE = "signature"
COMPONENT = "component"
RESOURCE = "resource"

_DEEPEST = 100
_OLD_HASHES = {"sha256": "SHA-256", "sha512": "SHA-512"}

Lookup = Callable[[str, str], Descriptor]
Content = Callable[[Descriptor, Resource, Digest], None]


class Check(Record):
    """One thing that was checked.

    kind: SIGNATURE, COMPONENT or RESOURCE. component: the component version that it belongs to. identity and access: of
    a resource, and the type of its access. state: OK, FAILED (it is not what was signed) or UNVERIFIED (it could not
    be compared). why: the reason, empty where it is OK. excepted: the caller lets it pass unverified.
    """

    kind: str
    component: str
    name: str
    version: str
    identity: Identity = EMPTY
    access: str = ""
    state: str = OK
    why: str = ""
    excepted: bool = False


class Verification(Record):
    """The result of verifying a signature.

    component: the component version. signature: its name. key: what the key is called. digests: those of all component
    versions that were computed, by `name:version`, itself first. checks: the signature, the component versions that it
    covers, and all of their resources.
    """

    component: str
    signature: str
    key: str
    digests: Mapping[str, Digest]
    checks: tuple[Check, ...]

    @property
    def is_signed(self) -> bool:
        """Whether the signature holds for the descriptors of all component versions that it covers."""
        return self.checks[0].state == OK

    @property
    def is_complete(self) -> bool:
        """Whether everything was compared with what was signed, and is the same."""
        return all(each.state == OK for each in self.checks)

    @property
    def is_verified(self) -> bool:
        """Whether everything is what was signed, but for what the caller has excepted."""
        return all(each.state == OK or each.excepted for each in self.checks)


def verify(
    descriptor: Descriptor,
    name: str,
    key: PublicKey,
    *,
    lookup: Lookup,
    content: Content,
    allowed: Collection[str] = (),
) -> Verification:
    """Verify a signature by its name: first itself, with all descriptors that it covers, then the contents.

    lookup: returns the component version that a reference names. content: compares the content of a resource with a
    digest; raises Unverifiable where that cannot be done, ComponentError where it is another content. It is not called
    where the signature does not hold. allowed: types of access whose contents may stay unverified.
    """
    walk = _Walk(descriptor, lookup)
    version = str(descriptor)
    signed = _attempted(Check(SIGNATURE, version, name, ""), _compare, walk, name, key)
    covered = [_of_component(each) for each in walk.descriptors]
    if signed.state != OK:
        reason = "the signature does not hold"
        rest = [*covered, *(_of_resource(each) for each in walk.covered)]
        checks = [replace(each, state=UNVERIFIED, why=reason) for each in rest]
    else:
        checks = [*covered, *_contents(walk, content, {kind_of({"type": each}) for each in allowed})]
    digests = {each: digest for each, digest in walk.digests.items() if digest is not walk.kind}
    return Verification(version, name, key.what, digests, (signed, *checks))


def _attempted(check: Check, action: Callable[..., None], *arguments: Any) -> Check:
    try:
        action(*arguments)
    except (Unverifiable, RegistryError) as error:
        return replace(check, state=UNVERIFIED, why=str(error))
    except ComponentError as error:
        return replace(check, state=FAILED, why=str(error))
    return check


def _compare(walk: "_Walk", name: str, key: PublicKey) -> None:
    """Compare the digest of the root and of all that it references with a signature. No access is followed."""
    descriptor = walk.root
    signature = _named(descriptor, name)
    what = f"the signature {name!r} of {descriptor}"
    if signature.digest.hash_algorithm not in HASHES:
        raise Unverifiable(
            f"{what} is of a {signature.digest.hash_algorithm!r} digest, which is not known: sign it with one of "
            f"{', '.join(_OLD_HASHES.values())}"
        )
    digest = walk.digest_of_root(signature.digest)
    if digest.value != signature.digest.value.lower():
        raise ComponentError(
            f"{what} is not of what is there: the digest is {digest.value} instead of {signature.digest.value}; "
            "do not use it"
        )
    keys.verify(key, signature, what)


def _contents(walk: "_Walk", content: Content, allowed: Collection[str]) -> Iterator[Check]:
    for each in walk.covered:
        check = _attempted(_of_resource(each), _compare_content, each, content)
        may_pass = check.state == UNVERIFIED and kind_of(each.resource.access) in allowed
        yield replace(check, excepted=may_pass)


def _compare_content(covered: "_Covered", content: Content) -> None:
    if not covered.digests:
        raise Unverifiable(
            "no digest is recorded for it, so that no signature covers its content: sign it again"
        )
    for digest in covered.digests:
        if digest.is_excluded:
            raise Unverifiable("its content is excluded from signatures")
        content(covered.owner, covered.resource, digest)


def _of_component(descriptor: Descriptor) -> Check:
    return Check(COMPONENT, str(descriptor), descriptor.name, descriptor.version)


def _of_resource(covered: "_Covered") -> Check:
    resource = covered.resource
    known = identity.identity(resource, covered.owner.resources)
    access = str(resource.access.get("type", ""))
    return Check(RESOURCE, str(covered.owner), resource.name, resource.version, known, access)


def digest_of(descriptor: Descriptor, *, hash_algorithm: str, algorithm: str) -> Digest:
    """Return the digest of a descriptor as it is. Raises Unverifiable for a normal form that is not known."""
    computed = hashlib.new(HASHES[hash_algorithm], normalisation.normalise(descriptor, algorithm))
    return Digest(hash_algorithm, algorithm, computed.hexdigest())


def _named(descriptor: Descriptor, name: str) -> Signature:
    for signature in descriptor.signatures:
        if signature.name == name:
            return signature
    there = ", ".join(repr(each.name) for each in descriptor.signatures) or "none at all"
    raise ComponentError(f"{descriptor} has no signature {name!r}: it has {there}")


class _Covered(Record):
    """A resource that the signature covers, and the digests that its content must have; none where none is recorded."""

    owner: Descriptor
    resource: Resource
    digests: tuple[Digest, ...]


class _Walk:
    """The way through a component version and all that it references.

    digests: the computed ones, by `name:version`. covered: the resources that were passed on the way.
    """

    def __init__(self, root: Descriptor, lookup: Lookup) -> None:
        self.root = root
        self.lookup = lookup
        self.kind = Digest("", "", "")
        self.digests: dict[str, Digest] = {}
        self.descriptors: list[Descriptor] = []
        self.covered: list[_Covered] = []

    def digest_of_root(self, kind: Digest) -> Digest:
        """Compute the digest of the root, whose hash and normal form are those of `kind`, as are all below it."""
        self.kind = kind
        return self._digest(self.root, ())

    def _digest(self, descriptor: Descriptor, path: tuple[str, ...]) -> Digest:
        name = str(descriptor)
        way = (*path, name)
        if name in path:
            raise ComponentError(f"{self.root} refers to itself: {' -> '.join(way)}")
        if len(way) > _DEEPEST:
            raise ComponentError(f"{self.root} has references more than {_DEEPEST} levels deep")
        # The component version itself comes first, though what it refers to is done before it.
        self.digests.setdefault(name, self.kind)
        self.descriptors.append(descriptor)
        references = tuple(self._reference(each, way) for each in descriptor.references)
        resources = tuple(self._resource(descriptor, each) for each in descriptor.resources)
        effective = replace(descriptor, references=references, resources=resources)
        computed = digest_of(
            effective, hash_algorithm=self.kind.hash_algorithm, algorithm=self.kind.normalisation
        )
        self.digests[name] = computed
        return computed

    def _reference(self, reference: Reference, way: tuple[str, ...]) -> Reference:
        computed = self.digests.get(f"{reference.component}:{reference.version}")
        # One that has not been computed yet is a circle, which is found there.
        if computed is None or computed is self.kind:
            computed = self._digest(self._looked_up(reference), way)
        recorded = reference.digest
        # The reference implementation compares those of the signed component version alone. Nothing is lost: what
        # the signature covers is the computed digest.
        if (
            len(way) == 1
            and recorded is not None
            and _kind(recorded) == _kind(computed)
            and recorded != computed
        ):
            raise ComponentError(
                f"{self.root} refers to another {reference.component}:{reference.version} than there is: its digest "
                f"is {computed.value} instead of {recorded.value}; do not use it"
            )
        return replace(reference, digest=computed)

    def _looked_up(self, reference: Reference) -> Descriptor:
        try:
            return self.lookup(reference.component, reference.version)
        except ComponentError as error:
            raise Unverifiable(str(error)) from None

    def _resource(self, descriptor: Descriptor, resource: Resource) -> Resource:
        """Return a resource with the digest by which it is covered, and note it in `covered`."""
        if not normalisation.has_content(resource):
            return replace(resource, digest=None)
        signed = self._preset(descriptor, resource) or resource.digest
        # Where the signed component version records another digest than the descriptor of the resource does, the
        # content must have both: a download compares it with the latter.
        recorded = [signed] if signed == resource.digest else [signed, resource.digest]
        known = tuple(_renamed(each, _OLD_HASHES) for each in recorded if each is not None)
        self.covered.append(_Covered(descriptor, resource, known))
        # A signature with an old name for its hash has it everywhere.
        names = (
            {new: old for old, new in _OLD_HASHES.items()} if self.kind.hash_algorithm in _OLD_HASHES else {}
        )
        return replace(resource, digest=signed and _renamed(signed, names))

    def _preset(self, descriptor: Descriptor, resource: Resource) -> Digest | None:
        """Return the digest that the signed component version keeps for a resource of one that it references."""
        extra = dict(resource.extra_identity)
        for each in self._presets.get((str(descriptor), resource.name, resource.version), ()):
            # Old normal forms add the version to the identity.
            if (each.get("extraIdentity") or {}) in (extra, {**extra, "version": resource.version}):
                digest: Digest | None = shapes.DIGEST.read(each["digest"]) if each.get("digest") else None
                return digest
        return None

    @cached_property
    def _presets(self) -> Mapping[tuple[str, str, str | None], Sequence[Fields]]:
        """What the signed component version keeps, by component version, name and version of the resource."""
        kept: dict[tuple[str, str, str | None], list[Fields]] = {}
        for component in self.root.nested_digests:
            owner = f"{component['name']}:{component['version']}"
            for each in component.get("resourceDigests") or ():
                kept.setdefault((owner, each["name"], each.get("version")), []).append(each)
        return kept


def _kind(digest: Digest) -> tuple[str, str]:
    return digest.hash_algorithm, digest.normalisation


def _renamed(digest: Digest, names: Mapping[str, str]) -> Digest:
    return replace(digest, hash_algorithm=names.get(digest.hash_algorithm, digest.hash_algorithm))
