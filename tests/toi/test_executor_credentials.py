"""Credentials: the user's file, and the OCM configuration that an executor gets."""

from contextlib import ExitStack

import pytest
import yaml

from tweed_shim.base.records import replace
from tweed_shim.errors import ConfigError
from tweed_shim.host.worker_process import WorkerProcess
from tweed_shim.ocm import ocmconfig
from tweed_shim.ocm.blob_access import Blob
from tweed_shim.ocm.component_descriptor import ComponentDescriptor, Provider
from tweed_shim.ocm.credential_lookup import ConfiguredCredentials
from tweed_shim.ocm.oci_repository import OciRepository
from tweed_shim.ocm.registry_store import ConnectionSettings, RegistryStore
from tweed_shim.ocm.repository import ComponentVersion
from tweed_shim.toi import credentials_file, executor_credentials
from tweed_shim.toi.common_fields import CredentialRequest
from tweed_shim.toi.credential_requests import MatchedRequest
from tweed_shim.toi.credentials_file import CredentialsFile
from tweed_shim.toi.executor_credentials import ExecutorCredentials
from tweed_shim.toi.templates import Templates

SECRET = "hunter2"
PLAIN = CredentialRequest()
OPTIONAL = CredentialRequest(optional=True)
CONSUMER = {"type": "Kubernetes", "purpose": "target"}

CONFIGURED = ConfiguredCredentials(
    ocmconfig.from_fields(
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


def read(text: str, name: str = "the credentials file") -> CredentialsFile:
    with WorkerProcess() as worker:
        return credentials_file.read(text, name=name, templates=Templates("private", worker))


def look_up(text: str, requests: dict[str, MatchedRequest]) -> ExecutorCredentials:
    return executor_credentials.look_up(read(text), requests, CONFIGURED)


def test_credentials_come_from_every_kind_of_source() -> None:
    result = look_up(
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
            "direct": MatchedRequest(CredentialRequest(consumer_id=CONSUMER), "kubeconfig"),
            "looked": MatchedRequest(PLAIN, "looked"),
            "exact": MatchedRequest(PLAIN, "exact"),
            "kept": MatchedRequest(PLAIN, "kept"),
            "spare": MatchedRequest(OPTIONAL, "spare"),
        },
    )
    assert result.values == {
        "kubeconfig": {"token": SECRET, "port": "80"},
        "looked": {"key": SECRET},
        "exact": {"key": SECRET},
        "kept": {"key": SECRET},
    }
    assert SECRET not in repr(result)
    written = yaml.safe_load(executor_credentials.ocm_configuration(result, None, log_level="Info"))
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
    # An executor that uses the OCM library finds them by either consumer.
    theirs = ConfiguredCredentials(ocmconfig.from_fields(written), {})
    assert theirs.for_consumer(CONSUMER) == {"token": SECRET, "port": "80"}
    assert theirs.for_consumer({"type": "Custom", "hostname": "a.example", "pathprefix": "x/y/z"}) == {
        "key": SECRET
    }


@pytest.mark.parametrize(
    "properties",
    [{"username": "u", "password": SECRET, "certificateAuthority": "pem"}, {"accessToken": SECRET}],
)
def test_the_credentials_of_the_registry_of_the_component_version_are_passed_on(
    properties: dict[str, str],
) -> None:
    consumer = {"type": "OCIRegistry", "hostname": "a.example", "port": "5000", "pathprefix": "x"}
    entry = ocmconfig.consumers_entry([(consumer, ocmconfig.direct_credentials(properties))])
    configured = ConfiguredCredentials(ocmconfig.OcmConfiguration((entry,)), {})
    connection = ConnectionSettings(find=configured.for_consumer, environ={"HOME": "/nonexistent"})
    with ExitStack() as stack:
        repository = OciRepository(RegistryStore("a.example:5000", connection, stack), "x")
        version = ComponentVersion(
            ComponentDescriptor("a.example/b", "1", Provider("c")), b"", repository, refused
        )
        result = executor_credentials.of_repository(version, connection)
        assert result is not None
        assert (result[0], result[1]["properties"]) == (consumer, properties)
        elsewhere = replace(version, repository=replace(repository, sub_path=""))
        assert executor_credentials.of_repository(elsewhere, connection) is None


def refused(_reference: str, _media_type: str) -> Blob:
    raise AssertionError("nothing is read")


def test_properties_of_credentials_become_texts() -> None:
    written = "{a: ~, b: .inf, c: -.inf, d: 0x10, e: yes, f: (( ~ )), g: (( 3 / 2.0 ))}"
    result = look_up(
        f"credentials: {{target: {{credentials: {written}, targetConsumerId: {{type: T, purpose: ~}}}}}}",
        {"target": MatchedRequest(PLAIN, "target")},
    )
    expected = {"a": "", "b": "+Inf", "c": "-Inf", "d": "16", "e": "true", "f": "", "g": "1.5"}
    assert result.values == {"target": expected}
    assert result.consumers[0][0] == {"type": "T", "purpose": ""}


def test_an_ocm_configuration_is_written_without_any_request() -> None:
    result = executor_credentials.look_up(None, {"spare": MatchedRequest(OPTIONAL, "spare")}, CONFIGURED)
    written = yaml.safe_load(executor_credentials.ocm_configuration(result, None, log_level="Warn"))
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
        ("credentials: {target: {reference: {type: Vault, a: hunter2}}}",
         "of type Vault, which are empty or of a type that tweed-shim does not know; write the properties"),
        ("credentials: {target: {reference: {type: Memory, repoName: vault, credentialsName: x}}}",
         "^the reference of the credentials 'target' names credentials 'x' in a .* not in the OCM configuration; add"),
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
def test_faults_of_a_credentials_file_are_reported_without_values(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        look_up(text, {"target": MatchedRequest(PLAIN, "target")})
    assert SECRET not in str(caught.value)


def test_a_missing_credentials_file_is_refused_where_credentials_are_needed() -> None:
    with pytest.raises(
        ConfigError, match="are needed: a, b; give them with -c, or from Python as `credentials`"
    ):
        executor_credentials.look_up(
            None, {name: MatchedRequest(PLAIN, name) for name in ("b", "a")}, CONFIGURED
        )


def test_unknown_fields_of_a_credentials_file_are_returned() -> None:
    result = read("{credential: {}, forwardedConsumers: []}", "it")
    assert result.unknown == ("credential",)
