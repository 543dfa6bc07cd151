"""Component descriptors: what a component version consists of, whichever schema it was written in.

One set of classes stands for both schemas of the specification (ocm-spec, doc/04-extensions/00-component-descriptor):
`v2` and `ocm.software/v3alpha1`. What a schema calls otherwise or keeps elsewhere is the business of
`tweed_shim.ocm.codec`. Fields that neither schema knows are kept, each in the `unknown` of what it was read with.

Maps and lists within are to be taken as read-only: use `records.replace` for another descriptor.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import EMPTY, Record

V2 = "v2"
V3 = "ocm.software/v3alpha1"
SCHEMAS = (V2, V3)

LOCAL = "local"
EXTERNAL = "external"

# What hashlib calls the hash algorithms, also those of old signatures.
HASHES = {"SHA-256": "sha256", "SHA-512": "sha512", "sha256": "sha256", "sha512": "sha512"}
NO_DIGEST = "NO-DIGEST"
EXCLUDED = "EXCLUDE-FROM-SIGNATURE"

Identity = Mapping[str, str]
Fields = Mapping[str, Any]


class Label(Record):
    """Something that is said about an element. Only those with `signing` are covered by a signature."""

    name: str
    value: Any = None
    version: str = ""
    signing: bool = False
    merge: Fields | None = None
    unknown: Fields = EMPTY


class Digest(Record):
    """A digest of a resource or a component version; `value` is hexadecimal digits.

    hash_algorithm: `SHA-256` or `SHA-512`. normalisation: what was hashed, such as `genericBlobDigest/v1`.
    """

    hash_algorithm: str
    normalisation: str
    value: str
    unknown: Fields = EMPTY

    @property
    def is_excluded(self) -> bool:
        """Whether it says that the content is not covered by a signature."""
        return (self.hash_algorithm, self.normalisation, self.value) == (NO_DIGEST, EXCLUDED, NO_DIGEST)


class Element(Record):
    """What resources, sources and references have in common."""

    name: str
    version: str = ""
    extra_identity: Identity = EMPTY
    labels: tuple[Label, ...] = ()
    unknown: Fields = EMPTY


class SourceReference(Record):
    """Names sources of the same component version that a resource was made from."""

    identity_selector: Identity = EMPTY
    labels: tuple[Label, ...] = ()
    unknown: Fields = EMPTY


class Source(Element):
    """A source; `access` tells where it is, `access["type"]` how to get it."""

    type: str = ""
    access: Fields = EMPTY


class Resource(Element):
    """A resource; `relation` tells whether it belongs to the component (`local`) or to somebody else."""

    type: str = ""
    relation: str = ""
    source_references: tuple[SourceReference, ...] = ()
    access: Fields = EMPTY
    digest: Digest | None = None


class Reference(Element):
    """Another component version that this one is made of; `version` is the other one's version."""

    component: str = ""
    digest: Digest | None = None


class SignatureValue(Record):
    """The signature itself: an algorithm, its result, and how that is written."""

    algorithm: str
    value: str
    media_type: str
    issuer: str = ""
    unknown: Fields = EMPTY


class Signature(Record):
    """A signed digest of the descriptor's normal form; `timestamp` as it was read."""

    name: str
    digest: Digest
    value: SignatureValue
    timestamp: Fields | None = None
    unknown: Fields = EMPTY


class Provider(Record):
    """Who provides a component."""

    name: str
    labels: tuple[Label, ...] = ()
    unknown: Fields = EMPTY


class Descriptor(Record):
    """A component version.

    schema: the one it was read in, and the one it is written in where no other is asked for. creation_time: as it
    was written (RFC 3339), "" where it is missing. repository_contexts: specifications of the repositories that
    held it, the last one at the end. nested_digests: as they were read. unknown: fields of the whole document;
    unknown_metadata: those beside the component's name and version.
    """

    name: str
    version: str
    provider: Provider
    schema: str = V2
    labels: tuple[Label, ...] = ()
    creation_time: str = ""
    repository_contexts: tuple[Fields, ...] = ()
    resources: tuple[Resource, ...] = ()
    sources: tuple[Source, ...] = ()
    references: tuple[Reference, ...] = ()
    signatures: tuple[Signature, ...] = ()
    nested_digests: tuple[Fields, ...] = ()
    unknown: Fields = EMPTY
    unknown_metadata: Fields = EMPTY

    def __str__(self) -> str:
        """What people call it: `name:version`."""
        return f"{self.name}:{self.version}"
