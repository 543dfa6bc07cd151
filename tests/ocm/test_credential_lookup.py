"""Credential lookup: the credentials of a consumer, malformed entries, and secrets that are never shown."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_descriptors import UNHURRIED
from tweed_shim.errors import ConfigError
from tweed_shim.ocm import ocmconfig
from tweed_shim.ocm.credential_lookup import ConfiguredCredentials, Properties

CONFIGURATION = b"""
type: generic.config.ocm.software/v1
configurations:
- type: memory.credentials.config.ocm.software
  repoName: default
  credentials:
  - credentialsName: direct
    credentials: {username: mem, password: s3cret-memory}
  - credentialsName: by-reference
    reference: {type: Credentials/v1, properties: {token: s3cret-reference}}
- type: credentials.config.ocm.software/v1
  consumers:
  - identity: {type: OCIRegistry, hostname: ghcr.example}
    credentials: [{type: Credentials, properties: {username: all, password: s3cret-all}}]
  - identity: {type: OCIRegistry, hostname: ghcr.example, pathprefix: acme}
    credentials: [{type: Memory, repoName: default, credentialsName: direct}]
  - identity: {type: OCIRegistry, hostname: ghcr.example, port: 5000}
    credentials: [{type: Alias, alias: mine, credentialsName: by-reference}]
  - identity: {type: Vaulted, hostname: x}
    credentials: [{type: HashiCorpVault, serverURL: 'https://vault.example'}]
  - identity: {type: Dangling}
    credentials: [{type: Memory, repoName: default, credentialsName: nonesuch}]
  - identity: {type: Kubernetes, purpose: target}
    credentials: [{type: Credentials, properties: {kubeconfig: s3cret-kube}}]
  aliases:
    mine: {repository: {type: Memory, repoName: default}}
- type: generic.config.ocm.software
  configurations:
  - type: ocm.config.ocm.software
    aliases: {mine: {type: CommonTransportFormat, filePath: /tmp/x}}
    resolvers:
    - repository: {type: OCIRegistry, baseUrl: low.example}
      priority: 1
    - repository: {type: OCIRegistry, baseUrl: plain.example}
    - repository: {type: OCIRegistry, baseUrl: special.example}
      prefix: example.com/team
- type: attributes.config.ocm.software
  attributes: {compat: {mode: true}}
- type: future.config.ocm.software/v7
  something: [1, 2.5]
"""


def read(text: bytes = CONFIGURATION, environ: dict[str, str] | None = None) -> ConfiguredCredentials:
    return ConfiguredCredentials(ocmconfig.decode(text), environ or {})


def registry(host: str, **more: str) -> dict[str, str]:
    return {"type": "OCIRegistry", "hostname": host, **more}


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (registry("ghcr.example"), "s3cret-all"),
        (registry("ghcr.example", pathprefix="other/app"), "s3cret-all"),
        (registry("ghcr.example", pathprefix="acme"), "s3cret-memory"),
        (registry("ghcr.example", pathprefix="acme/app"), "s3cret-memory"),
        (registry("ghcr.example", pathprefix="acmes/app"), "s3cret-all"),
        (registry("ghcr.example", port="5000"), "s3cret-reference"),
        (registry("ghcr.example", port="443", scheme="https"), "s3cret-all"),
        ({"type": "Kubernetes", "purpose": "target", "more": "x"}, "s3cret-kube"),
        (registry("other.example"), None),
        ({"type": "Kubernetes"}, None),
        ({"type": "Vaulted", "hostname": "x"}, None),
    ],
)
def test_a_consumer_gets_the_credentials_of_the_best_match(
    request_: dict[str, str], found: str | None
) -> None:
    properties = read().for_consumer(request_)
    assert (properties and [*properties.values()][-1]) == found


def test_the_matching_rules_of_another_type_can_be_chosen() -> None:
    request_ = {"hostname": "ghcr.example", "type": "OCIRegistry", "pathprefix": "acme/app"}
    assert read().for_consumer(request_, matcher="exact") is None
    assert read().for_consumer({**request_, "type": "Mine"}, matcher="hostpath") is None


def test_the_last_entry_for_an_identity_counts_and_the_empty_identity_is_part_of_any() -> None:
    def entry(identity: dict[str, str], value: str) -> dict[str, Any]:
        consumer = [(identity, ocmconfig.direct_credentials({"token": value}))]
        return dict(ocmconfig.consumers_entry(consumer))

    entries = (entry({"type": "A"}, "1"), entry({"type": "A"}, "2"), entry({}, "3"))
    known = ConfiguredCredentials(ocmconfig.OcmConfiguration(entries), {})
    assert known.for_consumer({"type": "A"}) == {"token": "2"}
    assert known.for_consumer({"type": "B"}) == {"token": "3"}
    assert known.for_consumer({"type": "wget"}) is None


def test_missing_credentials_are_an_error_that_names_them() -> None:
    with pytest.raises(ConfigError, match="'nonesuch'"):
        read().for_consumer({"type": "Dangling"})


def test_credentials_that_refer_to_each_other_are_an_error() -> None:
    text = (
        b"type: credentials.config.ocm.software\naliases: {a: {repository: {type: Alias, alias: a}}}\n"
        b"consumers: [{identity: {type: A}, credentials: [{type: Alias, alias: a, credentialsName: x}]}]\n"
    )
    with pytest.raises(ConfigError, match="refer to each other"):
        read(text).for_consumer({"type": "A"})


def test_configuration_types_without_effect_are_kept_and_named() -> None:
    known = read()
    [warning] = known.configuration.warnings
    assert "future.config.ocm.software" in warning
    [warning] = known.warnings
    assert "HashiCorpVault" in warning
    written = ocmconfig.decode(ocmconfig.encode(known.configuration))
    assert written == ocmconfig.OcmConfiguration(known.configuration.entries, {}, written.name)
    assert written.attributes == {"compat": {"mode": True}}


def test_no_secret_is_shown() -> None:
    known = read()
    found = known.for_consumer(registry("ghcr.example"))
    for each in (found, known, known.configuration, {"x": found}):
        assert "s3cret" not in f"{each!r} {each}"
    assert str(found) == "Properties(password, username)"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("consumers: s3cret", "consumers must be a list"),
        ("consumers: [s3cret]", "a value must be a map"),
        ("consumers: [{identity: [s3cret], credentials: [{}]}]", "a value must be a map"),
        ("consumers: [{identity: {type: A}, credentials: s3cret}]", "credentials must be a list"),
        ("consumers: [{identity: {type: A}, credentials: []}]", "has no credentials"),
        ("consumers: [{identity: {type: A, port: 1.5}, credentials: [{}]}]", "port must be text"),
        (
            "consumers: [{identity: {type: A}, credentials: [{type: Credentials, properties: {p: [s3cret]}}]}]",
            "p must be text",
        ),
        ("consumers: [{identity: {type: A}, credentials: [{type: Alias, alias: x}]}]", "alias 'x'"),
    ],
)
def test_malformed_credentials_are_refused_without_their_values(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refusal:
        read(f"type: credentials.config.ocm.software\n{text}\n".encode()).for_consumer({"type": "A"})
    assert "s3cret" not in str(refusal.value)


def docker_file(directory: Path) -> str:
    auths = {
        "docker.example": {"auth": "YTpob3N0"},
        "docker.example:5000": {"auth": "YTpwb3J0"},
        "https://index.docker.io/v1/": {"identitytoken": "hub", "auth": "YTo="},
    }
    path = directory / "config.json"
    path.write_text(json.dumps({"auths": auths}))
    return str(path)


def login(password: str, *, server: str = "docker.example", **more: str) -> dict[str, str]:
    return {"username": "a", "password": password, "serverAddress": server, **more}


def test_a_docker_config_answers_for_its_registries(tmp_path: Path) -> None:
    repository = {"type": "DockerConfig/v1", "dockerConfigFile": docker_file(tmp_path)}
    fields = {
        "type": ocmconfig.CREDENTIALS,
        "repositories": [{"repository": repository}],
        "consumers": [
            {
                "identity": registry("docker.example", pathprefix="acme"),
                "credentials": [{**repository, "credentialsName": "docker.example:5000"}],
            }
        ],
    }
    known = ConfiguredCredentials(ocmconfig.from_fields(fields), {})
    assert known.for_consumer(registry("docker.example")) == login("host")
    by_port = login("port", server="docker.example:5000")
    assert known.for_consumer(registry("docker.example", port="5000", pathprefix="x")) == by_port
    assert known.for_consumer(registry("docker.example", pathprefix="acme/app")) == by_port
    # Like the reference, the properties have a name and a password even if these are empty.
    of_hub = login("", server="https://index.docker.io/v1/", identityToken="hub")
    assert known.for_consumer(registry("docker.io")) == of_hub
    assert known.for_consumer(registry("unknown.example")) is None
    assert known.for_consumer({"type": "wget", "hostname": "docker.example"}) is None


def test_a_docker_config_without_propagation_answers_for_no_registry(tmp_path: Path) -> None:
    os.makedirs(tmp_path / ".docker")
    docker_file(tmp_path / ".docker")
    repository = {"type": "DockerConfig", "propagateConsumerIdentity": False}
    fields = {"type": ocmconfig.CREDENTIALS, "repositories": [{"repository": repository}]}
    known = ConfiguredCredentials(ocmconfig.from_fields(fields), {"HOME": str(tmp_path)})
    assert known.for_consumer(registry("docker.example")) is None
    assert known.specified({**repository, "credentialsName": "docker.example"}) == login("host")


def test_an_inline_docker_config_answers_for_its_registries() -> None:
    # The output of `echo a:in | base64`.
    inline = {"auths": {"docker.example": {"auth": "YTppbgo="}}}
    fields = {
        "type": ocmconfig.CREDENTIALS,
        "repositories": [{"repository": {"type": "DockerConfig", "dockerConfig": inline}}],
    }
    known = ConfiguredCredentials(ocmconfig.from_fields(fields), {})
    assert known.for_consumer(registry("docker.example")) == login("in")


def test_a_credential_helper_answers_for_its_registry(tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-kept"
    program.write_text('#!/bin/sh\necho \'{"Username": "<token>", "Secret": "identity"}\'\n')
    program.chmod(0o755)
    repository = {"type": "DockerConfig", "dockerConfig": {"credHelpers": {"docker.example": "kept"}}}
    known = ConfiguredCredentials(ocmconfig.OcmConfiguration(), {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    found = known.specified({**repository, "credentialsName": "docker.example"})
    assert found == login("", username="", identityToken="identity")


def test_a_written_configuration_is_read_again() -> None:
    entries = (
        ocmconfig.memory_entry({"target": {"kubeconfig": "yes: no\n"}}),
        ocmconfig.consumers_entry(
            [({"type": "Kubernetes", "purpose": "target"}, ocmconfig.memory_credentials("target"))]
        ),
    )
    written = ocmconfig.encode(ocmconfig.OcmConfiguration(entries))
    assert written.startswith(b"configurations:\n- credentials:\n  - credentials:\n      kubeconfig: |\n")
    known = read(written)
    assert known.for_consumer({"type": "Kubernetes", "purpose": "target"}) == {"kubeconfig": "yes: no\n"}


def test_the_configuration_file_may_be_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCM_TEST_TOKEN", "from the environment")
    file = tmp_path / "ocmconfig"
    file.write_text(
        "type: credentials.config.ocm.software\n"
        "consumers:\n- identity: {type: A}\n  credentials:\n  - type: Credentials\n"
        '    properties: {token: (( env("OCM_TEST_TOKEN") ))}\n'
    )
    known = ConfiguredCredentials(ocmconfig.load(str(file)), {})
    assert known.for_consumer({"type": "A"}) == {"token": "from the environment"}
    file.write_text("type: credentials.config.ocm.software\nkey: s3cret\nconsumers: (( key + nonesuch ))\n")
    with pytest.raises(ConfigError, match="at consumers; run tweed-shim spiff merge") as refusal:
        ocmconfig.load(str(file))
    assert "s3cret" not in str(refusal.value)
    for broken in (b"type: [((", b"type: ((\xff"):
        file.write_bytes(broken)
        with pytest.raises(ConfigError):
            ocmconfig.load(str(file))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "Memory", "Alias", "x", "default"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "identity",
                    "credentials",
                    "consumers",
                    "aliases",
                    "repositories",
                    "repository",
                    "alias",
                    "repoName",
                    "properties",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from([ocmconfig.CREDENTIALS, ocmconfig.MEMORY, ocmconfig.OCM, ocmconfig.GENERIC]),
    st.dictionaries(
        st.sampled_from(
            ["consumers", "credentials", "aliases", "repositories", "resolvers", "configurations"]
        ),
        JSON,
    ),
)
@UNHURRIED
def test_any_configuration_fields_give_an_answer_or_are_refused(kind: str, fields: dict[str, Any]) -> None:
    try:
        known = ocmconfig.from_fields({"type": kind, **fields})
        assert isinstance(known.aliases, dict)
        assert isinstance(known.resolvers_for("a.example/x"), list)
        managed = ConfiguredCredentials(known, {"HOME": "/nonexistent"})
        assert isinstance(managed.warnings, tuple)
        for request_ in ({"type": "x"}, registry("docker.example"), {}):
            assert isinstance(managed.for_consumer(request_), Properties | None)
    except ConfigError:
        pass
