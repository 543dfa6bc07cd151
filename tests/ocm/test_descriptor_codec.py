"""Component descriptors: read in both schemas and both formats, validated, and written without loss."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from component_descriptors import DESCRIPTORS, JSON, UNHURRIED
from tweed_shim.base.records import replace
from tweed_shim.errors import ComponentError
from tweed_shim.ocm import component_descriptor as model
from tweed_shim.ocm import descriptor_codec, descriptor_validation, yaml_writer
from tweed_shim.ocm.component_descriptor import V3

FULL: dict[str, Any] = {
    "meta": {"schemaVersion": "v2", "generator": "x"},
    "component": {
        "name": "example.com/team/app",
        "version": "v1.2",
        "creationTime": "2024-05-01T12:00:00+02:00",
        "provider": '{"name":"acme","labels":[{"name":"kind","value":{"a":1},"signing":true}],"since":1999}',
        "labels": [
            {"name": "l", "value": None, "version": "v1", "merge": {"algorithm": "default/v1"}, "x": 1}
        ],
        "repositoryContexts": [{"type": "OCIRegistry", "baseUrl": "old.example"}],
        "sources": [
            {"name": "src", "version": "1.0.0", "type": "git", "access": {"type": "gitHub"}, "more": [1]}
        ],
        "componentReferences": [
            {
                "name": "ref",
                "componentName": "example.com/other",
                "version": "2.0.0",
                "digest": {
                    "hashAlgorithm": "SHA-256",
                    "normalisationAlgorithm": "jsonNormalisation/v3",
                    "value": "abc",
                    "salt": "none",
                },
            }
        ],
        "resources": [
            {
                "name": "image",
                "version": "1.0.0",
                "type": "ociImage",
                "relation": "external",
                "extraIdentity": {"platform": "linux/amd64"},
                "srcRefs": [
                    {"identitySelector": {"name": "src"}, "labels": [{"name": "x", "value": 1}], "u": 2}
                ],
                "access": {"type": "ociArtifact", "imageReference": "r.example/x:1", "z": {"y": [None, 1.5]}},
                "extension": {"deep": {"er": True}},
            }
        ],
        "owner": "me",
    },
    "signatures": [
        {
            "name": "sig",
            "digest": {"hashAlgorithm": "SHA-256", "normalisationAlgorithm": "n", "value": "abc"},
            "signature": {"algorithm": "RSA", "value": "ff", "mediaType": "m", "issuer": "CN=x", "q": 1},
            "timestamp": {"value": "pem", "time": "2024-05-01T12:00:00Z"},
        }
    ],
    "nestedDigests": [{"name": "example.com/other", "version": "2.0.0", "resourceDigests": []}],
    "extra": {"top": ["level"]},
}


def texts(document: Any) -> Iterator[bytes]:
    yield json.dumps(document).encode()
    yield json.dumps(document, indent=2).encode()
    yield yaml.safe_dump(document, sort_keys=False).encode()


def fault(document: Any) -> str:
    with pytest.raises(ComponentError) as refusal:
        descriptor_codec.decode(json.dumps(document, indent=1).encode(), name="it")
    return str(refusal.value)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(FULL)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_a_descriptor_survives_each_schema_and_format() -> None:
    for text in texts(FULL):
        found = descriptor_codec.decode(text)
        assert str(found) == "example.com/team/app:v1.2"
        assert found.provider.name == "acme"
        assert found.provider.labels[0].value == {"a": 1}
        assert found.resources[0].source_references[0].identity_selector == {"name": "src"}
        assert found.references[0].component == "example.com/other"
        assert found.creation_time == "2024-05-01T12:00:00+02:00"
        for schema in model.SCHEMAS:
            for form in descriptor_codec.FORMATS:
                again = descriptor_codec.decode(descriptor_codec.encode(found, schema=schema, form=form))
                assert again == replace(found, schema=schema)
    assert descriptor_codec.to_fields(found) == FULL


def test_each_schema_has_its_own_field_names_and_places() -> None:
    fields = descriptor_codec.to_fields(descriptor_codec.decode(json.dumps(FULL).encode()), schema=V3)
    assert [*fields] == [
        *["apiVersion", "kind", "metadata", "repositoryContexts", "spec", "signatures", "nestedDigests"],
        *["meta", "extra"],
    ]
    assert fields["metadata"]["provider"]["since"] == 1999
    assert fields["metadata"]["owner"] == "me"
    assert [*fields["spec"]] == ["sources", "references", "resources"]


def test_an_empty_descriptor_has_the_required_fields_of_its_schema() -> None:
    empty = model.ComponentDescriptor("example.com/app", "1.0.0", model.Provider("acme"))
    assert descriptor_codec.encode(empty) == (
        b"component:\n  componentReferences: []\n  name: example.com/app\n  provider: acme\n"
        b"  repositoryContexts: []\n  resources: []\n  sources: []\n  version: 1.0.0\nmeta:\n  schemaVersion: v2\n"
    )
    assert descriptor_codec.encode(empty, schema=V3) == (
        b"apiVersion: ocm.software/v3alpha1\nkind: ComponentVersion\nmetadata:\n  name: example.com/app\n"
        b"  provider:\n    name: acme\n  version: 1.0.0\nrepositoryContexts: []\nspec: {}\n"
    )
    assert descriptor_codec.encode(empty, form="json") == (
        b'{"meta":{"schemaVersion":"v2"},"component":{"name":"example.com/app","version":"1.0.0",'
        b'"repositoryContexts":[],"provider":"acme","sources":[],"componentReferences":[],"resources":[]}}'
    )


def test_a_null_field_counts_as_missing() -> None:
    document = copy.deepcopy(FULL)
    for key in (
        "sources",
        "componentReferences",
        "resources",
        "repositoryContexts",
        "labels",
        "creationTime",
    ):
        document["component"][key] = None
    document["signatures"] = document["nestedDigests"] = None
    found = descriptor_codec.decode(json.dumps(document).encode())
    assert (found.sources, found.resources, found.signatures, found.labels) == ((), (), (), ())


def test_the_old_name_of_source_references_is_read() -> None:
    document = copy.deepcopy(FULL)
    [resource] = document["component"]["resources"]
    resource["srcRef"] = resource.pop("srcRefs")
    assert descriptor_codec.decode(json.dumps(document).encode()) == descriptor_codec.decode(
        json.dumps(FULL).encode()
    )


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("acme", "acme"),
        ('{"name":"acme"}', "acme"),
        ('{"name":"acme"', '{"name":"acme"'),
        ('{"title":"acme"}', '{"title":"acme"}'),
        ('"acme"', '"acme"'),
    ],
)
def test_a_provider_of_schema_v2_is_a_name_or_json(provider: str, name: str) -> None:
    found = descriptor_codec.decode(json.dumps(changed(["component", "provider"], provider)).encode())
    assert found.provider == model.Provider(name)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["component"], ..., "component (line 1) is required"),
        (["component", "name"], "Example.com/x", "component.name (line 7) is not the name of a component"),
        (["component", "name"], "example.com", "is not the name of a component"),
        (["component", "name"], "example.com/a\n", "is not the name of a component"),
        (["component", "name"], "a.example/" + "x" * 250, "must have 255 or fewer characters"),
        (["component", "version"], "latest", "component.version (line 8) is not a semantic version"),
        (["component", "version"], 1.0, "component.version (line 8) must be text"),
        (["component", "provider"], "", "component.provider (line 10) must have 1 or more characters"),
        (["component", "creationTime"], "yesterday", "is not a time"),
        (["component", "creationTime"], "2024-13-01T00:00:00Z", "is not a time"),
        (["component", "resources"], {}, "must be a list or nothing"),
        (["component", "resources", 0], "x", "component.resources[0] (line"),
        (["component", "resources", 0, "access"], ..., "component.resources[0].access (line"),
        (["component", "resources", 0, "access", "type"], ..., "resources[0].access.type"),
        (["component", "resources", 0, "relation"], "far", "must be local or external"),
        (["component", "resources", 0, "relation"], [1], "must be local or external"),
        (["component", "resources", 0, "name"], "x", "must have 2 or more characters"),
        (["component", "resources", 0, "name"], "Xx", "is not an element's name"),
        (["component", "resources", 0, "extraIdentity"], {"Key": "x"}, "extraIdentity.Key"),
        (
            ["component", "resources", 0, "extraIdentity"],
            {"size": 1},
            "extraIdentity.size (line",
        ),
        (["component", "resources", 0, "extraIdentity"], {"name": "x"}, "is reserved"),
        (["component", "labels", 0, "signing"], "yes", "must be true/false"),
        (["component", "labels", 0, "value"], ..., "component.labels[0].value"),
        (["component", "labels", 0, "version"], "1", "is not a label's version"),
        (["signatures", 0, "digest"], None, "signatures[0].digest"),
        (
            ["nestedDigests", 0, "resourceDigests"],
            [{"digest": {}}],
            "nestedDigests[0].resourceDigests[0].name",
        ),
    ],
)
def test_each_descriptor_fault_is_named_with_its_path(path: list[Any], value: Any, named: str) -> None:
    assert named in fault(changed(path, value))


def test_all_descriptor_faults_are_named_at_once_without_values() -> None:
    document = changed(["component", "version"], "s3cret")
    document["component"]["resources"][0]["type"] = ["s3cret"]
    message = fault(document)
    assert message.startswith("it is no component descriptor of schema v2: component.version (line 8) is not")
    assert "; component.resources[0].type (line" in message
    assert "s3cret" not in message


def test_ambiguous_elements_and_labels_are_refused() -> None:
    resource = FULL["component"]["resources"][0]
    document = changed(["component", "resources"], [resource, {**resource, "version": "1.1.0"}])
    assert len(descriptor_codec.decode(json.dumps(document).encode()).resources) == 2
    assert "resources[1]" in fault(changed(["component", "resources"], [resource, {**resource, "type": "x"}]))
    label = {"name": "l", "value": 1}
    assert "component.labels[1]" in fault(changed(["component", "labels"], [label, label]))
    document = changed(["component", "resources", 0, "labels"], [label, label])
    assert "component.resources[0].labels[1]" in fault(document)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "names no schema"),
        ([], "names no schema"),
        ("text", "names no schema"),
        (None, "names no schema"),
        ({"meta": {"schemaVersion": "v1"}}, "v2, ocm.software/v3alpha1"),
        ({"apiVersion": "ocm.gardener.cloud/v3alpha1"}, "v2, ocm.software/v3alpha1"),
        ({"apiVersion": ["x"]}, "v2, ocm.software/v3alpha1"),
        ({"meta": {"schemaVersion": "v2"}, "apiVersion": V3}, "two schemas"),
        (
            {"apiVersion": V3, "kind": "Other", "metadata": {}, "spec": {}},
            "kind (line 3) must be ComponentVersion",
        ),
    ],
)
def test_a_descriptor_without_a_known_schema_is_refused(document: Any, named: str) -> None:
    assert named in fault(document)


@pytest.mark.parametrize(
    ("schema", "path", "value", "named"),
    [
        (V3, ["kind"], "x", "kind"),
        (V3, ["spec"], {"resources": []}, "spec.resources"),
        (V3, ["spec"], 5, "spec"),
        (V3, ["metadata"], {}, "metadata"),
    ],
)
def test_an_unknown_field_that_the_other_schema_knows_is_not_moved_there(
    schema: str, path: list[Any], value: Any, named: str
) -> None:
    found = descriptor_codec.decode(json.dumps(changed(path, value)).encode())
    assert descriptor_codec.decode(descriptor_codec.encode(found)) == found
    with pytest.raises(ComponentError, match=f"its field {named} has another meaning"):
        descriptor_codec.encode(found, schema=schema)


@given(DESCRIPTORS)
@settings(UNHURRIED, max_examples=40)
def test_any_descriptor_survives_both_schemas_and_formats(descriptor: model.ComponentDescriptor) -> None:
    for schema in model.SCHEMAS:
        for form in descriptor_codec.FORMATS:
            data = descriptor_codec.encode(descriptor, schema=schema, form=form)
            assert descriptor_codec.decode(data) == replace(descriptor, schema=schema)
            assert descriptor_codec.encode(descriptor_codec.decode(data), form=form) == data


UNKNOWN = st.dictionaries(st.text(max_size=6).map(lambda name: f"x{name}"), JSON, max_size=3)


@given(DESCRIPTORS, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)
@settings(UNHURRIED, max_examples=40)
def test_unknown_fields_survive_at_any_place(
    descriptor: model.ComponentDescriptor, top: Any, head: Any, spec: Any, each: Any
) -> None:
    resources = tuple(replace(resource, unknown=each) for resource in descriptor.resources)
    unknown = {**top, **({"spec": spec} if spec else {})}
    full = replace(descriptor, resources=resources, unknown=unknown, unknown_metadata=head)
    for schema in model.SCHEMAS:
        assert descriptor_codec.decode(descriptor_codec.encode(full, schema=schema)) == replace(
            full, schema=schema
        )


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
@UNHURRIED
def test_any_bytes_are_a_descriptor_or_are_refused(data: bytes) -> None:
    for text in (data, b"meta: {schemaVersion: v2}\ncomponent: " + data):
        try:
            found = descriptor_codec.decode(text)
        except ComponentError:
            continue
        assert descriptor_codec.decode(descriptor_codec.encode(found)) == found


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, part in entries:
        yield (*path, key)
        yield from places(part, (*path, key))


FULL_3 = descriptor_codec.to_fields(descriptor_codec.decode(json.dumps(FULL).encode()), schema=V3)
MUTATIONS = st.lists(
    st.tuples(st.integers(0, 10**6), JSON | st.just("v2") | st.just("ab") | st.just({"type": "x"})),
    min_size=1,
    max_size=3,
)


def mutated(document: Any, mutations: list[tuple[int, Any]]) -> Any:
    document = copy.deepcopy(document)
    for number, value in mutations:
        there = [*places(document)]
        path = there[number % len(there)] if there else ()
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        if number % 5 == 0 and path:
            del place[path[-1]]
        elif path:
            place[path[-1]] = copy.deepcopy(value)
    return document


@given(st.sampled_from([FULL, FULL_3]), MUTATIONS)
@settings(UNHURRIED, max_examples=100)
def test_any_changed_descriptor_is_valid_or_is_refused(
    document: Any, mutations: list[tuple[int, Any]]
) -> None:
    try:
        found = descriptor_codec.decode(yaml_writer.dump(mutated(document, mutations)))
    except ComponentError:
        return
    assert descriptor_codec.decode(descriptor_codec.encode(found)) == found


@given(st.sampled_from([FULL, FULL_3]), MUTATIONS)
@settings(UNHURRIED, max_examples=100)
def test_the_json_schema_means_the_same_to_the_jsonschema_library(
    document: Any, mutations: list[tuple[int, Any]]
) -> None:
    import jsonschema

    changed_document = mutated(document, mutations)
    for name in ("v2", "v3alpha1"):
        schema = {**descriptor_validation.schema_document(), "$ref": f"#/$defs/{name}"}
        library = jsonschema.Draft202012Validator(schema)
        ours = {
            fault.path[:-1] if "required" in fault.problem else fault.path
            for fault in descriptor_validation.faults(changed_document, name)
        }
        theirs = {tuple(error.absolute_path) for error in library.iter_errors(changed_document)}
        assert bool(ours) == bool(theirs)
        # Here a value of a wrong type has that fault alone, and a wrong property name has the path of the property.
        assert {path for path in ours if path in theirs or path[:-1] in theirs} == ours


def test_the_json_schema_is_valid() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(descriptor_validation.schema_document())
