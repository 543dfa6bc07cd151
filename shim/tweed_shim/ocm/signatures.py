"""Signatures of component versions: verified together with everything that they cover.

A signature signs the digest of a descriptor's normal form. The normal form has the digests of all resources and of all
referenced component versions, which are computed in the same way: the whole tree is signed. Sources: OCM
specification, doc/02-processing (signing) and doc/04-extensions/04-algorithms, and the reference implementation.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from tweed_shim.base.records import EMPTY, Record, replace
from tweed_shim.errors import ComponentError, RegistryError, Unverifiable
from tweed_shim.ocm import descriptor_fields, element_identity, keys, normalisation
from tweed_shim.ocm.access_spec import access_type
from tweed_shim.ocm.component_descriptor import (
    HASHLIB_NAMES,
    ComponentDescriptor,
    ComponentReference,
    Digest,
    Fields,
    Identity,
    Resource,
    Signature,
)
from tweed_shim.ocm.keys import PublicKey

OK = "ok"
FAILED = "failed"
UNVERIFIED = "not verified"

SIGNATURE = "signature"
COMPONENT = "component"
RESOURCE = "resource"

_DEEPEST = 100
_OLD_HASHES = {"sha256": "SHA-256", "sha512": "SHA-512"}

Lookup = Callable[[str, str], ComponentDescriptor]
CompareContent = Callable[[ComponentDescriptor, Resource, Digest], None]


class Check(Record):
    """One check and its result.

    kind: SIGNATURE, COMPONENT or RESOURCE. component: the component version that it belongs to. identity and access: of
    a resource, and the type of its access. state: OK, FAILED (it is not what was signed) or UNVERIFIED (it could not be
    compared). why: the reason, empty where it is OK. excepted: the caller allows it to stay unverified.
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

    component: the component version. signature: its name. key: the name of the key. digests: the computed digests of
    all component versions by `name:version`, the verified one first. checks: the signature, the component versions that
    it covers, and all of their resources.
    """

    component: str
    signature: str
    key: str
    digests: Mapping[str, Digest]
    checks: tuple[Check, ...]

    @property
    def is_signed(self) -> bool:
        """Whether the signature is valid for the descriptors of all component versions that it covers."""
        return self.checks[0].state == OK

    @property
    def is_complete(self) -> bool:
        """Whether everything was compared with what was signed, and is equal."""
        return all(each.state == OK for each in self.checks)

    @property
    def is_verified(self) -> bool:
        """Whether everything is what was signed, except for what the caller has excepted."""
        return all(each.state == OK or each.excepted for each in self.checks)


def verify(
    descriptor: ComponentDescriptor,
    name: str,
    key: PublicKey,
    *,
    lookup: Lookup,
    content: CompareContent,
    allowed: Collection[str] = (),
) -> Verification:
    """Verify a signature by its name: first the signature with all descriptors that it covers, then the contents.

    lookup: returns the component version of a reference. content: compares the content of a resource with a digest;
    raises Unverifiable where it cannot, ComponentError where the content is another one. It is not called where the
    signature is not valid. allowed: access types whose contents may stay unverified.
    """
    walk = _Walk(descriptor, lookup)
    version = str(descriptor)
    signed = _attempted(Check(SIGNATURE, version, name, ""), _compare, walk, name, key)
    covered = [_of_component(each) for each in walk.descriptors]
    if signed.state != OK:
        reason = "the signature is not valid"
        rest = [*covered, *(_of_resource(each) for each in walk.covered)]
        checks = [replace(each, state=UNVERIFIED, why=reason) for each in rest]
    else:
        checks = [*covered, *_contents(walk, content, {access_type({"type": each}) for each in allowed})]
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
    """Compare the digest of the root and of all that it references with a signature. Follows no access."""
    descriptor = walk.root
    signature = _named(descriptor, name)
    what = f"the signature {name!r} of {descriptor}"
    if signature.digest.hash_algorithm not in HASHLIB_NAMES:
        raise Unverifiable(
            f"{what} has a {signature.digest.hash_algorithm!r} digest, which is not supported; sign it with one of "
            f"{', '.join(_OLD_HASHES.values())}"
        )
    digest = walk.digest_of_root(signature.digest)
    if digest.value != signature.digest.value.lower():
        raise ComponentError(
            f"{what} does not match the component version: its digest is {digest.value} instead of "
            f"{signature.digest.value}; "
            "do not use it"
        )
    keys.verify(key, signature, what)


def _contents(walk: "_Walk", content: CompareContent, allowed: Collection[str]) -> Iterator[Check]:
    for each in walk.covered:
        check = _attempted(_of_resource(each), _compare_content, each, content)
        may_pass = check.state == UNVERIFIED and access_type(each.resource.access) in allowed
        yield replace(check, excepted=may_pass)


def _compare_content(covered: "_Covered", content: CompareContent) -> None:
    if not covered.digests:
        raise Unverifiable(
            "it has no recorded digest, so that no signature covers its content; sign it again"
        )
    for digest in covered.digests:
        if digest.is_excluded:
            raise Unverifiable("its content is excluded from signatures")
        content(covered.owner, covered.resource, digest)


def _of_component(descriptor: ComponentDescriptor) -> Check:
    return Check(COMPONENT, str(descriptor), descriptor.name, descriptor.version)


def _of_resource(covered: "_Covered") -> Check:
    resource = covered.resource
    known = element_identity.of_element(resource, covered.owner.resources)
    access = str(resource.access.get("type", ""))
    return Check(RESOURCE, str(covered.owner), resource.name, resource.version, known, access)


def descriptor_digest(descriptor: ComponentDescriptor, *, hash_algorithm: str, algorithm: str) -> Digest:
    """Return the digest of a descriptor as it is. Raises Unverifiable for an unknown normal form."""
    computed = hashlib.new(HASHLIB_NAMES[hash_algorithm], normalisation.normalise(descriptor, algorithm))
    return Digest(hash_algorithm, algorithm, computed.hexdigest())


def _named(descriptor: ComponentDescriptor, name: str) -> Signature:
    for signature in descriptor.signatures:
        if signature.name == name:
            return signature
    names = ", ".join(repr(each.name) for each in descriptor.signatures) or "none"
    raise ComponentError(f"{descriptor} has no signature {name!r}; use one of these: {names}")


class _Covered(Record):
    """A resource that the signature covers, and the digests that its content must have, if any are recorded."""

    owner: ComponentDescriptor
    resource: Resource
    digests: tuple[Digest, ...]


class _Walk:
    """The walk through a component version and everything that it references.

    digests: the computed ones, by `name:version`. covered: the resources that were passed.
    """

    def __init__(self, root: ComponentDescriptor, lookup: Lookup) -> None:
        self.root = root
        self.lookup = lookup
        self.kind = Digest("", "", "")
        self.digests: dict[str, Digest] = {}
        self.descriptors: list[ComponentDescriptor] = []
        self.covered: list[_Covered] = []

    def digest_of_root(self, kind: Digest) -> Digest:
        """Compute the digest of the root; `kind` has the hash and the normal form of all digests."""
        self.kind = kind
        return self._digest(self.root, ())

    def _digest(self, descriptor: ComponentDescriptor, path: tuple[str, ...]) -> Digest:
        name = str(descriptor)
        way = (*path, name)
        if name in path:
            raise ComponentError(
                f"{self.root} refers to itself: {' -> '.join(way)}; remove one of the references"
            )
        if len(way) > _DEEPEST:
            raise ComponentError(
                f"{self.root} has references more than {_DEEPEST} levels deep; remove some of them"
            )
        # The component version itself comes first in the result, though its references are hashed before it.
        self.digests.setdefault(name, self.kind)
        self.descriptors.append(descriptor)
        references = tuple(self._reference(each, way) for each in descriptor.references)
        resources = tuple(self._resource(descriptor, each) for each in descriptor.resources)
        effective = replace(descriptor, references=references, resources=resources)
        computed = descriptor_digest(
            effective, hash_algorithm=self.kind.hash_algorithm, algorithm=self.kind.normalisation
        )
        self.digests[name] = computed
        return computed

    def _reference(self, reference: ComponentReference, way: tuple[str, ...]) -> ComponentReference:
        computed = self.digests.get(f"{reference.component}:{reference.version}")
        # A digest that is still being computed means a cycle, which `_digest` reports.
        if computed is None or computed is self.kind:
            computed = self._digest(self._looked_up(reference), way)
        recorded = reference.digest
        # The reference implementation compares only the recorded digests of the signed component version. That is
        # enough: the signature covers the computed digests.
        if (
            len(way) == 1
            and recorded is not None
            and _kind(recorded) == _kind(computed)
            and recorded != computed
        ):
            raise ComponentError(
                f"{self.root} refers to another {reference.component}:{reference.version} than the existing one: its "
                "digest "
                f"is {computed.value} instead of {recorded.value}; do not use it"
            )
        return replace(reference, digest=computed)

    def _looked_up(self, reference: ComponentReference) -> ComponentDescriptor:
        try:
            return self.lookup(reference.component, reference.version)
        except ComponentError as error:
            raise Unverifiable(str(error)) from None

    def _resource(self, descriptor: ComponentDescriptor, resource: Resource) -> Resource:
        """Return a resource with the digest that covers it, and note it in `covered`."""
        if not normalisation.has_content(resource):
            return replace(resource, digest=None)
        signed = self._preset(descriptor, resource) or resource.digest
        # The signed component version may record another digest than the descriptor of the resource. The content must
        # have both: a download compares it with the latter.
        recorded = [signed] if signed == resource.digest else [signed, resource.digest]
        known = tuple(_renamed(each, _OLD_HASHES) for each in recorded if each is not None)
        self.covered.append(_Covered(descriptor, resource, known))
        # A signature with an old name for its hash algorithm uses the old names everywhere.
        names = (
            {new: old for old, new in _OLD_HASHES.items()} if self.kind.hash_algorithm in _OLD_HASHES else {}
        )
        return replace(resource, digest=signed and _renamed(signed, names))

    def _preset(self, descriptor: ComponentDescriptor, resource: Resource) -> Digest | None:
        """Return the digest that the signed component version records for a resource of a referenced one."""
        extra = dict(resource.extra_identity)
        for each in self._presets.get((str(descriptor), resource.name, resource.version), ()):
            # Old normal forms add the version to the extra identity.
            if (each.get("extraIdentity") or {}) in (extra, {**extra, "version": resource.version}):
                digest: Digest | None = (
                    descriptor_fields.DIGEST.read(each["digest"]) if each.get("digest") else None
                )
                return digest
        return None

    @cached_property
    def _presets(self) -> Mapping[tuple[str, str, str | None], Sequence[Fields]]:
        """The recorded digests of the signed component version, by component version, resource name and version."""
        presets: dict[tuple[str, str, str | None], list[Fields]] = {}
        for component in self.root.nested_digests:
            owner = f"{component['name']}:{component['version']}"
            for each in component.get("resourceDigests") or ():
                presets.setdefault((owner, each["name"], each.get("version")), []).append(each)
        return presets


def _kind(digest: Digest) -> tuple[str, str]:
    return digest.hash_algorithm, digest.normalisation


def _renamed(digest: Digest, names: Mapping[str, str]) -> Digest:
    return replace(digest, hash_algorithm=names.get(digest.hash_algorithm, digest.hash_algorithm))
