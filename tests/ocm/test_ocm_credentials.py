"""OCM's configuration and its credentials: what is found for a consumer, what is kept, what is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_descriptors import UNHURRIED
from tweed_shim import urls
from tweed_shim.errors import ConfigError
from tweed_shim.ocm import configuration, consumers
from tweed_shim.ocm.credentials import Credentials, Properties

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


def read(text: bytes = CONFIGURATION, environ: dict[str, str] | None = None) -> Credentials:
    return Credentials(configuration.decode(text), environ or {})


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
def test_a_consumer_gets_what_is_meant_for_it(request_: dict[str, str], found: str | None) -> None:
    properties = read().for_consumer(request_)
    assert (properties and [*properties.values()][-1]) == found


def test_the_rules_of_another_type_can_be_asked_for() -> None:
    request_ = {"hostname": "ghcr.example", "type": "OCIRegistry", "pathprefix": "acme/app"}
    assert read().for_consumer(request_, matcher="exact") is None
    assert read().for_consumer({**request_, "type": "Mine"}, matcher="hostpath") is None


def test_the_last_entry_for_an_identity_counts_and_the_empty_identity_is_part_of_any() -> None:
    def entry(identity: dict[str, str], value: str) -> dict[str, Any]:
        consumer = [(identity, configuration.direct({"token": value}))]
        return dict(configuration.consumers_entry(consumer))

    entries = (entry({"type": "A"}, "1"), entry({"type": "A"}, "2"), entry({}, "3"))
    known = Credentials(configuration.Configuration(entries), {})
    assert known.for_consumer({"type": "A"}) == {"token": "2"}
    assert known.for_consumer({"type": "B"}) == {"token": "3"}
    assert known.for_consumer({"type": "wget"}) is None


def test_credentials_that_are_not_there_are_an_error_that_names_them() -> None:
    with pytest.raises(ConfigError, match="'nonesuch'"):
        read().for_consumer({"type": "Dangling"})


def test_specifications_that_lead_to_each_other_are_an_error() -> None:
    text = (
        b"type: credentials.config.ocm.software\naliases: {a: {repository: {type: Alias, alias: a}}}\n"
        b"consumers: [{identity: {type: A}, credentials: [{type: Alias, alias: a, credentialsName: x}]}]\n"
    )
    with pytest.raises(ConfigError, match="lead to each other"):
        read(text).for_consumer({"type": "A"})


def test_what_is_not_used_is_kept_and_named() -> None:
    known = read()
    [warning] = known.configuration.warnings
    assert "future.config.ocm.software" in warning
    [warning] = known.warnings
    assert "HashiCorpVault" in warning
    written = configuration.decode(configuration.encode(known.configuration))
    assert written == configuration.Configuration(known.configuration.entries, {}, written.name)
    assert written.attributes == {"compat": {"mode": True}}


def test_resolvers_are_asked_by_priority_and_then_by_the_length_of_their_prefix() -> None:
    known = read().configuration
    hosts = [each["baseUrl"] for each in known.resolvers_for("example.com/team/app")]
    assert hosts == ["special.example", "plain.example", "low.example"]
    hosts = [each["baseUrl"] for each in known.resolvers_for("example.com/teams")]
    assert hosts == ["plain.example", "low.example"]
    assert known.aliases["mine"]["filePath"] == "/tmp/x"


def test_no_secret_is_shown() -> None:
    known = read()
    found = known.for_consumer(registry("ghcr.example"))
    for each in (found, known, known.configuration, {"x": found}):
        assert "s3cret" not in f"{each!r} {each}"
    assert str(found) == "Properties(password, username)"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"[]", "type"),
        (b"type: 5", "type"),
        (b"type: generic.config.ocm.software\nconfigurations: s3cret", "configurations must be a list"),
        (b"type: generic.config.ocm.software\nconfigurations: [s3cret]", "needs a type"),
        (b"type: generic.config.ocm.software\nsets: s3cret", "sets must be a map"),
        (b"s3cret: [", "line 2"),
    ],
)
def test_what_is_no_configuration_is_refused_without_its_values(text: bytes, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refusal:
        read(text)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("consumers: s3cret", "consumers must be a list"),
        ("consumers: [s3cret]", "a map is expected"),
        ("consumers: [{identity: [s3cret], credentials: [{}]}]", "a map is expected"),
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
def test_credentials_that_are_malformed_are_refused_without_their_values(text: str, named: str) -> None:
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


def test_a_docker_file_answers_for_its_registries(tmp_path: Path) -> None:
    repository = {"type": "DockerConfig/v1", "dockerConfigFile": docker_file(tmp_path)}
    fields = {
        "type": configuration.CREDENTIALS,
        "repositories": [{"repository": repository}],
        "consumers": [
            {
                "identity": registry("docker.example", pathprefix="acme"),
                "credentials": [{**repository, "credentialsName": "docker.example:5000"}],
            }
        ],
    }
    known = Credentials(configuration.from_fields(fields), {})
    assert known.for_consumer(registry("docker.example")) == login("host")
    by_port = login("port", server="docker.example:5000")
    assert known.for_consumer(registry("docker.example", port="5000", pathprefix="x")) == by_port
    assert known.for_consumer(registry("docker.example", pathprefix="acme/app")) == by_port
    # A name and a password are there even where they are empty, as they are for the reference.
    of_hub = login("", server="https://index.docker.io/v1/", identityToken="hub")
    assert known.for_consumer(registry("docker.io")) == of_hub
    assert known.for_consumer(registry("unknown.example")) is None
    assert known.for_consumer({"type": "wget", "hostname": "docker.example"}) is None


def test_a_docker_file_that_is_not_to_answer_by_itself(tmp_path: Path) -> None:
    os.makedirs(tmp_path / ".docker")
    docker_file(tmp_path / ".docker")
    repository = {"type": "DockerConfig", "propagateConsumerIdentity": False}
    fields = {"type": configuration.CREDENTIALS, "repositories": [{"repository": repository}]}
    known = Credentials(configuration.from_fields(fields), {"HOME": str(tmp_path)})
    assert known.for_consumer(registry("docker.example")) is None
    assert known.specified({**repository, "credentialsName": "docker.example"}) == login("host")


def test_logins_that_are_in_the_configuration_itself() -> None:
    # As `echo a:in | base64` makes it.
    inline = {"auths": {"docker.example": {"auth": "YTppbgo="}}}
    fields = {
        "type": configuration.CREDENTIALS,
        "repositories": [{"repository": {"type": "DockerConfig", "dockerConfig": inline}}],
    }
    known = Credentials(configuration.from_fields(fields), {})
    assert known.for_consumer(registry("docker.example")) == login("in")


def test_logins_that_a_program_keeps(tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-kept"
    program.write_text('#!/bin/sh\necho \'{"Username": "<token>", "Secret": "identity"}\'\n')
    program.chmod(0o755)
    repository = {"type": "DockerConfig", "dockerConfig": {"credHelpers": {"docker.example": "kept"}}}
    known = Credentials(configuration.Configuration(), {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    found = known.specified({**repository, "credentialsName": "docker.example"})
    assert found == login("", username="", identityToken="identity")


def test_a_configuration_for_somebody_else_is_written_and_read() -> None:
    entries = (
        configuration.memory_entry({"target": {"kubeconfig": "yes: no\n"}}),
        configuration.consumers_entry(
            [({"type": "Kubernetes", "purpose": "target"}, configuration.in_memory("target"))]
        ),
    )
    written = configuration.encode(configuration.Configuration(entries))
    assert written.startswith(b"configurations:\n- credentials:\n  - credentials:\n      kubeconfig: |\n")
    known = read(written)
    assert known.for_consumer({"type": "Kubernetes", "purpose": "target"}) == {"kubeconfig": "yes: no\n"}


def test_the_file_is_the_chosen_one_else_the_variables_else_one_of_the_home_directory(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert configuration.path(None, home) is None
    os.makedirs(tmp_path / ".ocm")
    (tmp_path / ".ocm/config").write_text("")
    assert configuration.path(None, home) == str(tmp_path / ".ocm/config")
    (tmp_path / ".ocmconfig").write_text("")
    assert configuration.path(None, home) == str(tmp_path / ".ocmconfig")
    assert configuration.path(None, {**home, "OCM_CONFIG": "~/x"}) == str(tmp_path / "x")
    assert configuration.path("/y", {**home, "OCM_CONFIG": "~/x"}) == "/y"
    assert configuration.path("None", {**home, "OCM_CONFIG": "~/x"}) is None
    assert configuration.load(str(tmp_path / ".ocmconfig")).entries == ()
    with pytest.raises(ConfigError, match=r"nonesuch.*ocm_config="):
        configuration.load(str(tmp_path / "nonesuch"))


def test_the_file_may_be_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCM_TEST_TOKEN", "from the environment")
    file = tmp_path / "ocmconfig"
    file.write_text(
        "type: credentials.config.ocm.software\n"
        "consumers:\n- identity: {type: A}\n  credentials:\n  - type: Credentials\n"
        '    properties: {token: (( env("OCM_TEST_TOKEN") ))}\n'
    )
    known = Credentials(configuration.load(str(file)), {})
    assert known.for_consumer({"type": "A"}) == {"token": "from the environment"}
    file.write_text("type: credentials.config.ocm.software\nkey: s3cret\nconsumers: (( key + nonesuch ))\n")
    with pytest.raises(ConfigError, match="at consumers: `tweed-shim spiff merge`") as refusal:
        configuration.load(str(file))
    assert "s3cret" not in str(refusal.value)
    for broken in (b"type: [((", b"type: ((\xff"):
        file.write_bytes(broken)
        with pytest.raises(ConfigError):
            configuration.load(str(file))


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        (
            "https://charts.example/stable/",
            "hostname=charts.example, pathprefix=stable, port=443, scheme=https",
        ),
        ("http://h:81", "hostname=h, port=81, scheme=http"),
        ("https://[::1]:8443/a/%62", "hostname=::1, pathprefix=a/b, port=8443, scheme=https"),
    ],
)
def test_the_identity_of_a_url(url: str, identity: str) -> None:
    assert consumers.show(consumers.of_url("X", urls.parse(url))) == f"{identity}, type=X"


HOSTS = st.sampled_from(["a.example", "b.example", ""])
IDENTITIES = st.fixed_dictionaries(
    {"type": st.sampled_from(["OCIRegistry", "wget", "Other"])},
    optional={
        "hostname": HOSTS,
        "port": st.sampled_from(["443", "5000"]),
        "scheme": st.sampled_from(["https", "http"]),
        "pathprefix": st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map("/".join),
    },
)


@given(IDENTITIES, st.lists(IDENTITIES, max_size=8))
@UNHURRIED
def test_what_is_found_contradicts_nothing_and_nothing_that_fits_goes_unseen(
    request_: dict[str, str], known: list[dict[str, str]]
) -> None:
    found = consumers.best(request_, known)
    alone = [each for each in known if consumers.best(request_, [each]) is not None]
    assert (found is None) == (not alone)
    if found is not None:
        assert found in alone
        assert found["type"] == request_["type"]
        if request_["type"] == "Other":
            assert found.items() <= request_.items()
            assert len(found) == max(map(len, alone))
        else:
            parts = (found.get("pathprefix", "") + "/").lstrip("/")
            assert (request_.get("pathprefix", "") + "/").startswith(parts)


@given(IDENTITIES)
@UNHURRIED
def test_what_is_configured_for_the_very_request_fits_it(request_: dict[str, str]) -> None:
    assert consumers.best(request_, [request_]) == request_
    assert consumers.best(request_, [request_], matcher="exact") == request_


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@UNHURRIED
def test_any_bytes_are_a_configuration_or_refused(data: bytes) -> None:
    try:
        known = configuration.decode(data)
    except ConfigError:
        return
    assert configuration.decode(configuration.encode(known)).entries == known.entries


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
    st.sampled_from(
        [configuration.CREDENTIALS, configuration.MEMORY, configuration.OCM, configuration.GENERIC]
    ),
    st.dictionaries(
        st.sampled_from(
            ["consumers", "credentials", "aliases", "repositories", "resolvers", "configurations"]
        ),
        JSON,
    ),
)
@UNHURRIED
def test_any_shape_of_configuration_answers_or_is_refused(kind: str, fields: dict[str, Any]) -> None:
    try:
        known = configuration.from_fields({"type": kind, **fields})
        assert isinstance(known.aliases, dict)
        assert isinstance(known.resolvers_for("a.example/x"), list)
        managed = Credentials(known, {"HOME": "/nonexistent"})
        assert isinstance(managed.warnings, tuple)
        for request_ in ({"type": "x"}, registry("docker.example"), {}):
            assert isinstance(managed.for_consumer(request_), Properties | None)
    except ConfigError:
        pass
