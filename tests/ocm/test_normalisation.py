"""Normal forms of component descriptors: the fields that they have, and those that a transport may change."""

import pytest
from hypothesis import given, settings

from component_descriptors import DESCRIPTORS, UNHURRIED
from signed_tree import GENERIC, LEAF, MIDDLE, TOP, V3_FORM, blob_digest
from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import descriptor_codec, normalisation, signatures
from tweed_shim.ocm.component_descriptor import (
    V3,
    ComponentDescriptor,
    Digest,
    Label,
)


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
    found = signatures.descriptor_digest(one, hash_algorithm="SHA-256", algorithm=algorithm)
    assert found == Digest("SHA-256", algorithm, digest)


def test_the_normal_form_has_only_the_signed_fields() -> None:
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
def test_no_transport_changes_a_normal_form(descriptor: ComponentDescriptor) -> None:
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
        assert (
            normalisation.normalise(descriptor_codec.decode(descriptor_codec.encode(descriptor)), algorithm)
            == form
        )
        if algorithm != normalisation.V1_ALGORITHM:
            assert normalisation.normalise(replace(descriptor, schema=V3), algorithm) == form


def test_an_unknown_normal_form_and_a_number_out_of_range_are_refused() -> None:
    with pytest.raises(ComponentError, match="jsonNormalisation/v3"):
        normalisation.normalise(LEAF, "jsonNormalisation/v9")
    with pytest.raises(ComponentError, match="number that is too large"):
        normalisation.normalise(replace(LEAF, labels=(Label("x", 10**400, signing=True),)), V3_FORM)
