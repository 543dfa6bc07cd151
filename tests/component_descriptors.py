"""Strategies of hypothesis for component descriptors."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tweed_shim.ocm import component_descriptor as model

# No deadline: the time of an example depends on the other processes of the host.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.from_regex(r"[a-z0-9][-_+a-z0-9]{0,5}[a-z0-9]", fullmatch=True)
COMPONENTS = st.from_regex(r"[a-z]{1,4}(\.[a-z]{2,4}){1,2}(/[a-z][-a-z0-9_]{0,4}){1,2}", fullmatch=True)
NUMBER = st.sampled_from(["0", "1", "2", "10"])
VERSIONS = st.builds(
    lambda v, numbers, rest: v + ".".join(numbers) + rest,
    st.sampled_from(["", "v"]),
    st.lists(NUMBER, min_size=1, max_size=3),
    st.sampled_from(["", "-rc.1", "-0a", "+build.7", "-alpha+b"]),
)
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufeff\u2028\u2029", exclude_categories=["C"]),
    max_size=6,
)
WORDS = st.one_of(
    TEXTS, st.sampled_from(["", "yes", "0x1F", "2020-01-01", "- a", "a: b", "1.0", "~", "a\nb\n"])
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(-1e15, 1e15).filter(lambda number: number or str(number) == "0.0")
    | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=3,
)
DIGESTS = st.builds(
    model.Digest,
    st.sampled_from(["SHA-256", "SHA-512", "sha256"]),
    st.sampled_from(["genericBlobDigest/v1", "ociArtifactDigest/v1"]),
    st.text("0123456789abcdef", min_size=1, max_size=8),
)
TIMES = st.sampled_from(
    ["", "2024-05-01T12:00:00Z", "2024-05-01T12:00:00.5+02:00", "1999-12-31T23:59:59.4-01:30"]
)
MERGES = st.none() | st.fixed_dictionaries(
    {"algorithm": st.sampled_from(["default/v1", "map-list_merge/v1"])}, optional={"config": JSON}
)


def unique(key: str) -> Any:
    return lambda element: getattr(element, key)


LABELS = st.lists(
    st.builds(
        model.Label,
        WORDS.filter(bool),
        JSON,
        st.sampled_from(["", "v1"]),
        st.booleans(),
        MERGES,
    ),
    max_size=2,
    unique_by=unique("name"),
).map(tuple)
EXTRA = st.dictionaries(NAMES.filter(lambda name: name != "name"), WORDS, max_size=2)
ACCESS = st.builds(
    lambda kind, more: {**more, "type": kind},
    st.sampled_from(["localBlob", "ociArtifact/v1", "none", "None"]),
    st.dictionaries(TEXTS, JSON, max_size=2),
)
KINDS = st.sampled_from(["blob", "ociImage", "toiPackage"])
ELEMENT = {"name": NAMES, "version": VERSIONS, "extra_identity": EXTRA, "labels": LABELS}
SOURCE_REFERENCES = st.lists(
    st.builds(model.SourceReference, st.dictionaries(NAMES, WORDS, max_size=2), LABELS), max_size=2
).map(tuple)


def told_apart(element: model.Element) -> Any:
    return element.name, element.version, frozenset(element.extra_identity.items())


def several(element: Any) -> Any:
    return st.lists(element, max_size=2, unique_by=told_apart).map(tuple)


SIGNATURES = st.lists(
    st.builds(
        model.Signature,
        WORDS,
        DIGESTS,
        st.builds(model.SignatureValue, WORDS, WORDS, WORDS, st.just("")),
        st.none() | st.just({"value": "pem", "time": "2024-05-01T12:00:00Z"}),
    ),
    max_size=2,
).map(tuple)

DESCRIPTORS = st.builds(
    model.ComponentDescriptor,
    COMPONENTS,
    VERSIONS,
    st.builds(model.Provider, WORDS.filter(lambda name: name and name[0] != "{"), LABELS),
    st.sampled_from(model.SCHEMAS),
    labels=LABELS,
    creation_time=TIMES,
    repository_contexts=st.lists(ACCESS, max_size=2).map(tuple),
    resources=several(
        st.builds(
            model.Resource,
            **ELEMENT,
            type=KINDS,
            relation=st.sampled_from(["local", "external"]),
            source_references=SOURCE_REFERENCES,
            access=ACCESS,
            digest=st.none() | DIGESTS,
        )
    ),
    sources=several(st.builds(model.Source, **ELEMENT, type=KINDS, access=ACCESS)),
    references=several(
        st.builds(model.ComponentReference, **ELEMENT, component=COMPONENTS, digest=st.none() | DIGESTS)
    ),
    signatures=SIGNATURES,
)
