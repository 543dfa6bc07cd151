"""Component descriptors: what a component version consists of, in a form without a schema.

One set of classes stands for both schemas of the specification (ocm-spec, doc/04-extensions/00-component-descriptor):
`v2` and `ocm.software/v3alpha1`. `descriptor_codec` reads and writes the names and places of each schema. Fields that
neither schema knows are kept in the `unknown` of the object that they belong to.

Maps and lists are read-only by convention: make a changed descriptor with `records.replace`.
"""

from collections.abc import Mapping
from typing import Any

from tweed_shim.base.records import EMPTY, Record

V2 = "v2"
V3 = "ocm.software/v3alpha1"
SCHEMAS = (V2, V3)

# The relation of a resource that belongs to its component.
LOCAL = "local"

# The names of hashlib for hash algorithms, which old signatures name as hashlib does.
HASHLIB_NAMES = {"SHA-256": "sha256", "SHA-512": "sha512", "sha256": "sha256", "sha512": "sha512"}
NO_DIGEST = "NO-DIGEST"
EXCLUDED = "EXCLUDE-FROM-SIGNATURE"

Identity = Mapping[str, str]
Fields = Mapping[str, Any]


class Label(Record):
    """A label of an element. Signatures cover only labels with `signing`."""

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
        """Whether it excludes the content from signatures."""
        return (self.hash_algorithm, self.normalisation, self.value) == (NO_DIGEST, EXCLUDED, NO_DIGEST)


class Element(Record):
    """The common fields of resources, sources and references."""

    name: str
    version: str = ""
    extra_identity: Identity = EMPTY
    labels: tuple[Label, ...] = ()
    unknown: Fields = EMPTY


class SourceReference(Record):
    """The sources of the same component version that a resource was built from."""

    identity_selector: Identity = EMPTY
    labels: tuple[Label, ...] = ()
    unknown: Fields = EMPTY


class Source(Element):
    """A source; `access` says where it is, and `access["type"]` how to get it."""

    type: str = ""
    access: Fields = EMPTY


class Resource(Element):
    """A resource; `relation` is `local` where it belongs to the component, else `external`."""

    type: str = ""
    relation: str = ""
    source_references: tuple[SourceReference, ...] = ()
    access: Fields = EMPTY
    digest: Digest | None = None


class ComponentReference(Element):
    """A reference to another component version; `version` is that version."""

    component: str = ""
    digest: Digest | None = None


class SignatureValue(Record):
    """The signature itself: an algorithm, its result, and the encoding of the result."""

    algorithm: str
    value: str
    media_type: str
    issuer: str = ""
    unknown: Fields = EMPTY


class Signature(Record):
    """A signed digest of the descriptor's normal form; `timestamp` is kept as it was read."""

    name: str
    digest: Digest
    value: SignatureValue
    timestamp: Fields | None = None
    unknown: Fields = EMPTY


class Provider(Record):
    """The provider of a component."""

    name: str
    labels: tuple[Label, ...] = ()
    unknown: Fields = EMPTY


class ComponentDescriptor(Record):
    """A component version.

    schema: the one it was read in, which is also the default for writing. creation_time: as it was written (RFC 3339),
    empty where it is missing. repository_contexts: specifications of the repositories that held it, the latest one
    last. nested_digests: as they were read. unknown: fields of the whole document. unknown_metadata: fields beside the
    component's name and version.
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
    references: tuple[ComponentReference, ...] = ()
    signatures: tuple[Signature, ...] = ()
    nested_digests: tuple[Fields, ...] = ()
    unknown: Fields = EMPTY
    unknown_metadata: Fields = EMPTY

    def __str__(self) -> str:
        """Return `name:version`."""
        return f"{self.name}:{self.version}"
