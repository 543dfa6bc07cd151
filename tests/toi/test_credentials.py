"""Credentials: what is asked for, what the user's file has for it, and what the executor gets."""

from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from tweed_shim.errors import ComponentError, ConfigError
from tweed_shim.ocm import configuration
from tweed_shim.ocm.blobs import Blob
from tweed_shim.ocm.credentials import Credentials
from tweed_shim.ocm.descriptor import Descriptor, Provider
from tweed_shim.ocm.mapping import OciRepository
from tweed_shim.ocm.registries import Connection, RegistryStore
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.records import replace
from tweed_shim.toi import credential_requests, credentials
from tweed_shim.toi.credential_requests import Requested
from tweed_shim.toi.parts import CredentialRequest
from tweed_shim.toi.templates import Templates
from tweed_shim.worker_process import WorkerProcess

SECRET = "hunter2"
PLAIN = CredentialRequest()
OPTIONAL = CredentialRequest(optional=True)
CONSUMER = {"type": "Kubernetes", "purpose": "target"}

CONFIGURED = Credentials(
    configuration.from_fields(
        {
            "type": "generic.config.ocm.software/v1",
            "configurations": [
                {
                    "type": "credentials.config.ocm.software",
                    "consumers": [
                        {
                            "identity": {"type": "Custom", "hostname": "a.example", "pathprefix": "x"},
                            "credentials": [{"type": "Credentials", "properties": {"key": SECRET}}],
                        }
                    ],
                },
                {
                    "type": "memory.credentials.config.ocm.software",
                    "repoName": "vault",
                    "credentials": [
                        {"credentialsName": "kept", "credentials": {"key": SECRET}},
                        {
                            "credentialsName": "dangling",
                            "reference": {"type": "Memory", "repoName": "vault", "credentialsName": "gone"},
                        },
                    ],
                },
            ],
        }
    ),
    {},
)


def requested(package: Any, executor: Any, mapping: Any = None) -> dict[str, str]:
    found = credential_requests.requested(package, executor, mapping or {}, whose="the package")
    return {name: each.name for name, each in found.items()}


@pytest.mark.parametrize(
    ("package", "executor", "mapping", "expected"),
    [
        ({"a": PLAIN, "b": OPTIONAL}, {}, {}, {"a": "a", "b": "b"}),
        ({"a": PLAIN, "b": PLAIN}, {}, {"a": "x"}, {"a": "x"}),
        ({}, {"x": PLAIN, "y": OPTIONAL}, {}, {"x": "x", "y": "y"}),
        ({}, {"x": PLAIN}, {"mine": "x"}, {"mine": "x"}),
        ({"a": PLAIN, "b": PLAIN}, {"a": PLAIN}, {}, {"a": "a"}),
        ({"a": PLAIN, "b": PLAIN}, {"x": PLAIN, "b": PLAIN}, {"a": "x"}, {"a": "x", "b": "b"}),
        ({"a": PLAIN}, {"a": PLAIN, "x": PLAIN}, {}, {"a": "a", "x": "x"}),
        ({"a": PLAIN}, {"a": PLAIN, "x": OPTIONAL}, {}, {"a": "a"}),
        ({"a": PLAIN}, {"a": PLAIN, "x": OPTIONAL}, {"a": "a"}, {"a": "a"}),
        ({"a": PLAIN}, {"x": PLAIN}, {"new": "x"}, {"new": "x"}),
        ({"a": OPTIONAL}, {"a": OPTIONAL}, {}, {"a": "a"}),
        ({"a": PLAIN}, {"a": OPTIONAL}, {}, {"a": "a"}),
    ],
)
def test_requests_of_package_and_executor_are_matched(
    package: Any, executor: Any, mapping: Any, expected: Any
) -> None:
    assert requested(package, executor, mapping) == expected


@pytest.mark.parametrize(
    ("own", "wanted", "mapping", "message"),
    [
        (PLAIN, CredentialRequest(consumer_id=CONSUMER), {}, "the consumer ids differ"),
        (PLAIN, CredentialRequest(properties={"a": "", "b": ""}), {}, "does not declare the properties a, b"),
        (OPTIONAL, PLAIN, {}, "optional, and the executor needs them"),
        (PLAIN, PLAIN, {"name": "other"}, "maps no credentials to 'name'"),
        (PLAIN, PLAIN, {"a": "name", "b": "name"}, r"maps several credentials \(a, b\) to 'name'"),
    ],
)
def test_requests_that_do_not_match(own: Any, wanted: Any, mapping: Any, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        requested({"name": own}, {"name": wanted}, mapping)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": "x", "b": "x"}, r"the package maps several credentials \(a, b\) to 'x' of its executor"),
        ({"a": ""}, "the package maps the credentials 'a' to no name"),
    ],
)
def test_a_mapping_for_an_executor_that_declares_nothing_is_refused_where_credentials_would_be_lost(
    mapping: Any, message: str
) -> None:
    with pytest.raises(ComponentError, match=message):
        requested({"a": PLAIN, "b": PLAIN}, {}, mapping)
    assert requested({"b": PLAIN}, {}, {**mapping, "b": "y"}) == {"b": "y"}


def read(text: str, name: str = "the credentials file") -> credentials.Settings:
    with WorkerProcess() as worker:
        return credentials.read(text, name=name, templates=Templates("private", worker))


def provided(text: str, wanted: dict[str, Requested]) -> credentials.Provided:
    return credentials.provide(read(text), wanted, CONFIGURED)


def test_every_way_to_credentials() -> None:
    found = provided(
        f"""
        secret: (( &temporary("{SECRET}") ))
        credentials:
          direct: {{credentials: {{token: (( secret )), port: 80}}, targetConsumerId: {{type: T, name: it}}}}
          looked: {{consumerId: {{type: Custom, hostname: a.example, pathprefix: x/y}}, consumerType: hostpath}}
          exact: {{consumerId: {{type: Custom, hostname: a.example, pathprefix: x, more: m}}}}
          kept: {{reference: {{type: Memory, repoName: vault, credentialsName: kept}}}}
          unasked: {{credentials: {{a: b}}}}
        forwardedConsumers:
        - consumerId: {{type: Custom, hostname: a.example, pathprefix: x/y/z}}
          consumerType: hostpath
        """,
        {
            "direct": Requested(CredentialRequest(consumer_id=CONSUMER), "kubeconfig"),
            "looked": Requested(PLAIN, "looked"),
            "exact": Requested(PLAIN, "exact"),
            "kept": Requested(PLAIN, "kept"),
            "spare": Requested(OPTIONAL, "spare"),
        },
    )
    assert found.values == {
        "kubeconfig": {"token": SECRET, "port": "80"},
        "looked": {"key": SECRET},
        "exact": {"key": SECRET},
        "kept": {"key": SECRET},
    }
    assert SECRET not in repr(found)
    written = yaml.safe_load(credentials.ocm_configuration(found, None, log_level="Info"))
    memory, consumers, logging = written["configurations"]
    assert written["type"] == "generic.config.ocm.software"
    assert memory["repoName"] == "default"
    assert [each["credentialsName"] for each in memory["credentials"]] == [
        "kubeconfig",
        "exact",
        "kept",
        "looked",
    ]
    assert [each["identity"] for each in consumers["consumers"]] == [
        {"type": "T", "name": "it"},
        CONSUMER,
        {"type": "Custom", "hostname": "a.example", "pathprefix": "x/y/z"},
    ]
    assert logging["settings"] == {"defaultLevel": "Info"}
    # An executor that knows OCM finds them by either.
    theirs = Credentials(configuration.from_fields(written), {})
    assert theirs.for_consumer(CONSUMER) == {"token": SECRET, "port": "80"}
    assert theirs.for_consumer({"type": "Custom", "hostname": "a.example", "pathprefix": "x/y/z"}) == {
        "key": SECRET
    }


@pytest.mark.parametrize(
    "properties",
    [{"username": "u", "password": SECRET, "certificateAuthority": "pem"}, {"accessToken": SECRET}],
)
def test_all_that_the_registry_of_the_component_version_is_accessed_with_is_passed_on(
    properties: dict[str, str],
) -> None:
    consumer = {"type": "OCIRegistry", "hostname": "a.example", "port": "5000", "pathprefix": "x"}
    entry = configuration.consumers_entry([(consumer, configuration.direct(properties))])
    configured = Credentials(configuration.Configuration((entry,)), {})
    connection = Connection(find=configured.for_consumer, environ={"HOME": "/nonexistent"})
    with ExitStack() as stack:
        repository = OciRepository(RegistryStore("a.example:5000", connection, stack), "x")
        version = ComponentVersion(Descriptor("a.example/b", "1", Provider("c")), b"", repository, refused)
        found = credentials.of_repository(version, connection)
        assert found is not None
        assert (found[0], found[1]["properties"]) == (consumer, properties)
        elsewhere = replace(version, repository=replace(repository, sub_path=""))
        assert credentials.of_repository(elsewhere, connection) is None


def refused(_reference: str, _media_type: str) -> Blob:
    raise AssertionError("nothing is read")


def test_properties_are_texts_whatever_was_written() -> None:
    written = "{a: ~, b: .inf, c: -.inf, d: 0x10, e: yes, f: (( ~ )), g: (( 3 / 2.0 ))}"
    found = provided(
        f"credentials: {{target: {{credentials: {written}, targetConsumerId: {{type: T, purpose: ~}}}}}}",
        {"target": Requested(PLAIN, "target")},
    )
    expected = {"a": "", "b": "+Inf", "c": "-Inf", "d": "16", "e": "true", "f": "", "g": "1.5"}
    assert found.values == {"target": expected}
    assert found.consumers[0][0] == {"type": "T", "purpose": ""}


def test_where_nothing_is_asked_for_there_is_a_configuration_all_the_same() -> None:
    found = credentials.provide(None, {"spare": Requested(OPTIONAL, "spare")}, CONFIGURED)
    written = yaml.safe_load(credentials.ocm_configuration(found, None, log_level="Warn"))
    assert written["configurations"][:2] == [
        {"type": "memory.credentials.config.ocm.software", "repoName": "default"},
        {"type": "credentials.config.ocm.software"},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "credentials are missing: target; add them to the credentials file"),
        ("credentials: {target: }", r"credentials\.target .* must have exactly one of consumerId, reference"),
        ("credentials: {target: {credentials: {a: hunter2}, consumerId: {type: x, a: b}}}", "exactly one of"),
        ("credentials: {target: {credentials: {a: [hunter2]}}}", r"target\.credentials\.a .* must be text"),
        ("credentials: {target: {credentials: hunter2}}", "must be a map"),
        ("credentials: {target: {consumerId: {type: Nobody}}}", "of type=Nobody, are not in the OCM configuration"),
        ("credentials: {target: {reference: {type: Vault, a: hunter2}}}", "of type Vault, which cannot be asked for"),
        ("credentials: {target: {reference: {type: Memory, repoName: vault, credentialsName: x}}}",
         "^the reference of the credentials 'target' names credentials 'x' in a .* not in the OCM configuration: add"),
        ("credentials: {target: {reference: {type: Alias, alias: x}}}",
         "^the reference of the credentials 'target' names the alias 'x'"),
        ("credentials: {target: {reference: {type: Credentials, properties: [hunter2]}}}",
         "^the reference of the credentials 'target' is malformed: "),
        ("credentials: {target: {reference: {type: Credentials, properties: {a: [hunter2]}}}}",
         "^the reference of the credentials 'target' is malformed: .* a must be text"),
        ("credentials: {target: {reference: {type: DockerConfig, dockerConfig: hunter2, credentialsName: x}}}",
         "^the reference of the credentials 'target' is malformed: "),
        ("credentials: {target: {reference: {type: Memory, repoName: vault, credentialsName: dangling}}}",
         "^the OCM configuration names credentials 'gone' .* is not there"),
        ("credentials: {target: {credentials: {a: (( hunter2 )) }}}", r"at credentials\.target\.credentials\.a"),
        ("credentials: {target: {credentials: {a: (( \"hunter2\" + 1 )) }}}", "cannot be resolved"),
        ("credentials: {target: {credentials: {a: (( read(\"/etc/hostname\") )) }}}\nb: (( credentials ))",
         r"commands or the environment, at credentials\.target\.credentials\.a: write .* trust_templates=True"),
        ("credentials: {target: {credentials: {a: !hunter2 x", "the credentials file, line 1: an unknown tag"),
        ("credentials: {target: {credentials: {a: *hunter2 }}}", "the credentials file, line 1: an alias without"),
        ("credentials:\n  target:\n    credentials: {a: hunter2, y: 1}", "line 3, column 31: a key .* quote it"),
        ("credentials: {target: {credentials: {a: b}}}\n---\nb: hunter2", "file holds 2 documents: leave one"),
        ("b: hunter2\ncredentials:\n  target:\n    credentials:\n      a: [hunter2]",
         r"credentials\.target\.credentials\.a \(line 5\) must be text"),
        ("b: [hunter2]\ncredentials:\n  target:\n    credentials: {a: (( b )) }",
         r"credentials\.target\.credentials\.a \(line 4\) must be text"),
        (f"credentials: (( parse(\"{'[' * 150 + ']' * 150}\") ))", "more than 100 levels deep"),
        (f"credentials: {'[' * 300 + ']' * 300}", "more than 100 levels deep"),
        ("b: !x hunter2\ncredentials: {target: {credentials: {a: [b]}}}", r"target\.credentials\.a must be text"),
        ("forwardedConsumers: [{}]\ncredentials: {target: {credentials: {a: b}}}", "consumerId .* is required"),
        ("forwardedConsumers: [{consumerId: {type: Nobody}}]\ncredentials: {target: {credentials: {a: b}}}",
         "for type=Nobody, which are to be forwarded, are not in"),
    ],
)  # fmt: skip
def test_faults_of_a_credentials_file(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        provided(text, {"target": Requested(PLAIN, "target")})
    assert SECRET not in str(caught.value)


def test_a_credentials_file_that_is_needed_and_not_there() -> None:
    with pytest.raises(
        ConfigError, match="are needed: a, b; give them with -c, or from Python as `credentials`"
    ):
        credentials.provide(None, {name: Requested(PLAIN, name) for name in ("b", "a")}, CONFIGURED)


def test_unknown_fields_are_remembered() -> None:
    found = read("{credential: {}, forwardedConsumers: []}", "it")
    assert found.unknown == ("credential",)
