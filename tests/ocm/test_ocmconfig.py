"""The OCM configuration: found, read, written, and refused without its secrets."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from component_descriptors import UNHURRIED
from tweed_shim.errors import ConfigError
from tweed_shim.ocm import ocmconfig

RESOLVERS = b"""
type: ocm.config.ocm.software
aliases: {mine: {type: CommonTransportFormat, filePath: /tmp/x}}
resolvers:
- repository: {type: OCIRegistry, baseUrl: low.example}
  priority: 1
- repository: {type: OCIRegistry, baseUrl: plain.example}
- repository: {type: OCIRegistry, baseUrl: special.example}
  prefix: example.com/team
"""


def test_resolvers_are_searched_by_priority_and_then_by_the_length_of_their_prefix() -> None:
    configuration = ocmconfig.decode(RESOLVERS)
    hosts = [each["baseUrl"] for each in configuration.resolvers_for("example.com/team/app")]
    assert hosts == ["special.example", "plain.example", "low.example"]
    hosts = [each["baseUrl"] for each in configuration.resolvers_for("example.com/teams")]
    assert hosts == ["plain.example", "low.example"]
    assert configuration.aliases["mine"]["filePath"] == "/tmp/x"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"[]", "type"),
        (b"type: 5", "type"),
        (b"type: generic.config.ocm.software\nconfigurations: s3cret", "configurations must be a list"),
        (b"type: generic.config.ocm.software\nconfigurations: [s3cret]", "an entry without a type"),
        (b"type: generic.config.ocm.software\nsets: s3cret", "sets must be a map"),
        (b"s3cret: [", "line 2"),
    ],
)
def test_a_malformed_configuration_is_refused_without_its_values(text: bytes, named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refusal:
        ocmconfig.decode(text)
    assert "s3cret" not in str(refusal.value)


def test_the_configuration_file_is_found_by_option_variable_or_home_directory(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert ocmconfig.find_file(None, home) is None
    os.makedirs(tmp_path / ".ocm")
    (tmp_path / ".ocm/config").write_text("")
    assert ocmconfig.find_file(None, home) == str(tmp_path / ".ocm/config")
    (tmp_path / ".ocmconfig").write_text("")
    assert ocmconfig.find_file(None, home) == str(tmp_path / ".ocmconfig")
    assert ocmconfig.find_file(None, {**home, "OCM_CONFIG": "~/x"}) == str(tmp_path / "x")
    assert ocmconfig.find_file("/y", {**home, "OCM_CONFIG": "~/x"}) == "/y"
    assert ocmconfig.find_file("None", {**home, "OCM_CONFIG": "~/x"}) is None
    assert ocmconfig.load(str(tmp_path / ".ocmconfig")).entries == ()
    with pytest.raises(ConfigError, match=r"nonesuch.*ocm_config="):
        ocmconfig.load(str(tmp_path / "nonesuch"))


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@UNHURRIED
def test_any_bytes_are_a_configuration_or_are_refused(data: bytes) -> None:
    try:
        known = ocmconfig.decode(data)
    except ConfigError:
        return
    assert ocmconfig.decode(ocmconfig.encode(known)).entries == known.entries
