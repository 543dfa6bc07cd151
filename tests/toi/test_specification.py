"""Specifications of packages and executors: every field is read, and every fault is reported with its path."""

import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refusals import refusal
from tweed_shim.errors import ComponentError
from tweed_shim.toi import executor_spec, package
from tweed_shim.toi.common_fields import CredentialRequest, Image, ResourceReference, Templating

PACKAGE = """
description: A thing.
executors:
- actions: [install, remove]
  resourceRef:
    resource: {name: image, platform: linux}
    resourcePath:
    - name: executors
  config: {level: yes, mode: 0644}
  parameterMapping: {all: (( merge ))}
  credentialMapping: {target: kubeconfig}
  outputs: {made.yaml: result}
- image: {ref: example.com/image, digest: "sha256:00"}
credentials:
  target:
    description: where to
    properties: {KUBECONFIG: a file, port: 1}
    consumerId: {type: Kubernetes, purpose: target}
    optional: true
  bare:
configTemplate: {a: 1}
configScheme: {type: object}
templateLibraries:
- resource: {name: lib}
additionalResources:
  configFile: {content: "# nothing\\n"}
  credentialsFile: {resource: {name: creds}}
"""


def parsed(text: str) -> package.Package:
    return package.parse(textwrap.dedent(text).encode(), name="the package")


def test_every_field_of_a_package_is_read() -> None:
    result = parsed(PACKAGE)
    assert result == package.Package(
        executors=(
            package.ExecutorEntry(
                actions=("install", "remove"),
                resource_ref=ResourceReference(
                    {"name": "image", "platform": "linux"}, ({"name": "executors"},)
                ),
                # The reference implementation reads YAML 1.1.
                config={"level": True, "mode": 0o644},
                parameter_mapping={"all": "(( merge ))"},
                credential_mapping={"target": "kubeconfig"},
                outputs={"made.yaml": "result"},
            ),
            package.ExecutorEntry(image=Image("example.com/image", "sha256:00")),
        ),
        templating=Templating({"a": 1}, {"type": "object"}, (ResourceReference({"name": "lib"}),)),
        credentials={
            "target": CredentialRequest(
                "where to",
                {"KUBECONFIG": "a file", "port": "1"},
                {"type": "Kubernetes", "purpose": "target"},
                optional=True,
            ),
            "bare": CredentialRequest(),
        },
        description="A thing.",
        additional={
            "configFile": package.AdditionalResource(content="# nothing\n"),
            "credentialsFile": package.AdditionalResource(ResourceReference({"name": "creds"})),
        },
    )


def test_every_field_of_an_executor_specification_is_read() -> None:
    result = executor_spec.parse(
        b"""{imageRef: {resource: {name: image}}, image: {ref: x/y}, actions: [install],
        configTemplate: {a: 1}, configScheme: {type: object}, templateLibraries: [{resource: {name: lib}}],
        credentials: {target: {description: d}}, outputs: {made: {description: it}, other: }}""",
        name="the executor",
    )
    assert result == executor_spec.ExecutorSpecification(
        ResourceReference({"name": "image"}),
        Image("x/y"),
        ("install",),
        Templating({"a": 1}, {"type": "object"}, (ResourceReference({"name": "lib"}),)),
        {"target": CredentialRequest("d")},
        {"made": "it", "other": ""},
    )
    minimal = executor_spec.parse(b"imageRef: {resource: {name: image}}", name="the executor")
    assert (minimal.actions, minimal.outputs) == (None, None)


@pytest.mark.parametrize(("text", "scheme"), [("true", {}), ("false", {"not": {}}), ("~", None)])
def test_a_scheme_may_be_true_or_false(text: str, scheme: object) -> None:
    assert parsed(f"executors: []\nconfigScheme: {text}").templating.scheme == scheme


def test_a_resource_reference_may_be_a_list_of_one() -> None:
    (result,) = parsed("executors: [{resourceRef: [{resource: {name: image}}]}]").executors
    assert result.resource_ref == ResourceReference({"name": "image"})


def test_unknown_fields_are_returned() -> None:
    result = parsed("{executors: [{image: {ref: x/y, tag: 1}, acton: [a]}], zone: }")
    assert result.unknown == ("executors[0].acton", "executors[0].image.tag")


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[]", ["the document (line 1) must be a map"]),
        ("{}", ["executors (line 1) is required"]),
        ("executors: {}", ["executors (line 1) must be a list"]),
        ("executors:\n- actions: [a]", ["executors[0].resourceRef (line 2) is required, or image"]),
        ("executors:\n- 1\n- image: {}", ["executors[0] (line 2) must be a map", "image.ref (line 3) is required"]),
        ("executors: [{resourceRef: {}}]", ["executors[0].resourceRef.resource (line 1) is required"]),
        ("executors: [{resourceRef: {resource: {a: b}}}]", ["resourceRef.resource.name (line 1) is required"]),
        ("executors: [{resourceRef: []}]", ["executors[0].resourceRef (line 1) must name one resource"]),
        ("executors: [{resourceRef: {resource: {name: [x]}}}]", ["resource.name (line 1) must be text"]),
        ("executors: [{image: {ref: x}, actions: install}]", ["executors[0].actions (line 1) must be a list"]),
        ("executors: [{image: {ref: x}, outputs: {a/b: c}}]",
         ["has an output of the executor whose name cannot be a file's: 'a/b'"]),
        ("executors: [{image: {ref: x}, outputs: {a: b/c}}]", ["has an output whose name cannot be a file's: 'b/c'"]),
        ("executors: [{image: {ref: x}, outputs: {a: ..}}]", ["has an output whose name cannot be a file's: '..'"]),
        ("executors: [{image: {ref: x}, outputs: {a: c, b: c}}]", ["gives the name 'c' to several outputs"]),
        ("executors: []\nconfigScheme: text", ["configScheme (line 2) must be a JSON Schema: a map, true or false"]),
        ("executors: []\ncredentials:\n  a: {optional: 1}", ["credentials.a.optional (line 3) must be true or false"]),
        ("executors: []\ncredentials:\n  a: {consumerId: {type: x}}", ["consumerId (line 3) must have a type"]),
        ("executors: []\nadditionalResources: {configFile: {}}", ["configFile (line 2) must have a resource"]),
    ],
)  # fmt: skip
def test_faults_of_a_package_are_reported_with_path_and_line(text: str, faults: list[str]) -> None:
    with pytest.raises(ComponentError, match="the package is no TOI package: ") as caught:
        parsed(text)
    assert "\n" not in str(caught.value)
    for fault in faults:
        assert fault in str(caught.value)


def test_faults_of_an_executor_specification_are_reported() -> None:
    with pytest.raises(
        ComponentError, match=r"is no TOI executor: imageRef \(line 1\) is required, or image"
    ):
        executor_spec.parse(b"outputs: {}", name="the executor")
    with pytest.raises(ComponentError, match=r"has an output whose name cannot be a file's: '\.\./x'"):
        executor_spec.parse(b"{image: {ref: x}, outputs: {../x: {}}}", name="the executor")


def test_the_first_entry_for_an_action_is_chosen() -> None:
    result = parsed(
        """
        executors:
        - {actions: [install], image: {ref: first}}
        - {actions: [install, remove], image: {ref: second}}
        - {image: {ref: all}}
        - {actions: [late], image: {ref: never}}
        """
    )
    chosen = [
        str(package.choose_entry(result, action, name="it").image)
        for action in ("install", "remove", "late", "any")
    ]
    assert chosen == ["first", "second", "all", "all"]


def test_an_unknown_action_is_refused_with_the_known_ones() -> None:
    result = parsed("executors: [{actions: [a, b], image: {ref: x}}, {actions: [b, c], image: {ref: x}}]")
    with pytest.raises(ComponentError, match="it has no action 'x'; use one that it has: a, b, c"):
        package.choose_entry(result, "x", name="it")


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "executors",
                    "image",
                    "ref",
                    "resourceRef",
                    "resource",
                    "name",
                    "credentials",
                    "outputs",
                    "content",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(plain)
def test_any_specification_is_read_or_refused_in_one_sentence(value: Any) -> None:
    import json

    data = json.dumps(value).encode()
    for parse in (package.parse, executor_spec.parse):
        message = refusal(lambda parse=parse: parse(data, name="it"), ComponentError)  # type: ignore[misc]
        assert message is None or "\n" not in message


PATHS = """
    executors:
    - resourceRef:
        resource: {name: image}
        %s
"""


@pytest.mark.parametrize("first", ["resourcePath", "referencePath"])
def test_the_path_of_a_resource_reference_has_two_names(first: str) -> None:
    def path(text: str) -> tuple[dict[str, str], ...]:
        reference = parsed(PATHS % text).executors[0].resource_ref
        assert reference is not None
        return tuple(map(dict, reference.path))

    second = "referencePath" if first == "resourcePath" else "resourcePath"
    steps = "[{name: a, x: 1}, {name: b}]"
    assert path(f"{first}: {steps}") == ({"name": "a", "x": "1"}, {"name": "b"})
    assert path(f"{first}: {steps}\n        {second}: {steps}") == path(f"{first}: {steps}")
    for other in ("[{name: b}, {name: a, x: 1}]", "[]", "[{name: a}, {name: b}]"):
        with pytest.raises(ComponentError, match="two paths that differ, resourcePath and referencePath"):
            path(f"{first}: {steps}\n        {second}: {other}")
