"""References to component versions and repositories: parsed, or refused in one sentence."""

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.errors import BadReference
from tweed_shim.ocm.references import (
    ANY_ARCHIVE,
    COMPONENT_ARCHIVE,
    CTF,
    REGISTRY,
    Location,
    RepositorySpec,
    parse,
    parse_component,
    parse_repository,
    spec_from_fields,
)

APP = "example.com/app"


def registry(host: str, sub_path: str = "", *, plain: bool = False) -> RepositorySpec:
    return RepositorySpec(REGISTRY, host=host, sub_path=sub_path, plain=plain)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./dir//example.com/app:1.0.0", Location(RepositorySpec(ANY_ARCHIVE, "./dir"), APP, "1.0.0")),
        ("./dir//example.com/app", Location(RepositorySpec(ANY_ARCHIVE, "./dir"), APP)),
        ("./dir", Location(RepositorySpec(ANY_ARCHIVE, "./dir"))),
        ("dir/x.tgz//example.com/app", Location(RepositorySpec(ANY_ARCHIVE, "dir/x.tgz"), APP)),
        ("/a//b//example.com/app:v1", Location(RepositorySpec(ANY_ARCHIVE, "/a//b"), APP, "v1")),
        ("ctf::a.tar//example.com/app", Location(RepositorySpec(CTF, "a.tar"), APP)),
        ("+ctf+tgz::./a//example.com/app", Location(RepositorySpec(CTF, "./a", "tgz"), APP)),
        ("CommonTransportFormat/v1::a", Location(RepositorySpec(CTF, "a"))),
        ("ca::./a//example.com/app", Location(RepositorySpec(COMPONENT_ARCHIVE, "./a"), APP)),
        ("tgz::a", Location(RepositorySpec(ANY_ARCHIVE, "a", "tgz"))),
        ("ghcr.io//example.com/app:1", Location(registry("ghcr.io"), APP, "1")),
        ("ghcr.io/a/b-c//example.com/app:1.2.3-r.1+b.7", Location(registry("ghcr.io", "a/b-c"), APP, "1.2.3-r.1+b.7")),
        ("localhost:5000/x//example.com/app", Location(registry("localhost:5000", "x"), APP)),
        ("http://localhost/x//example.com/app", Location(registry("localhost", "x", plain=True), APP)),
        ("https://r.example:443/x//example.com/app", Location(registry("r.example:443", "x"), APP)),
        ("oci::http://127.0.0.1:5/x//example.com/app", Location(registry("127.0.0.1:5", "x", plain=True), APP)),
        ("OCIRegistry::myhost/x//example.com/app", Location(registry("myhost", "x"), APP)),
        ("oci://r.example", Location(registry("r.example"))),
        (
            '{"type":"OCIRegistry/v1","baseUrl":"https://r.example/a","subPath":""}//example.com/app:1',
            Location(registry("r.example", "a"), APP, "1"),
        ),
        (
            'oci::{"baseUrl":"r.example","subPath":"a","componentNameMapping":"sha256-digest"}//example.com/app',
            Location(RepositorySpec(REGISTRY, host="r.example", sub_path="a", hashed_names=True), APP),
        ),
        (
            '{"type":"CommonTransportFormat/v1","filePath":"x","fileFormat":"tar","accessMode":1}',
            Location(RepositorySpec(CTF, "x", "tar")),
        ),
        ("example.com/app:1.0.0", Location(None, APP, "1.0.0")),
        ("example.com/app", Location(None, APP)),
    ],
)  # fmt: skip
def test_a_reference_is_parsed_into_a_location(text: str, expected: Location) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "names no repository"),
        ("ctf::", "names no repository"),
        ("./dir//app", "the component 'app'"),
        ("./dir//Example/app", "the component 'Example/app'"),
        ("./dir//example.com/app:", "the version ''"),
        ("./dir//example.com/app:a b", "the version 'a b'"),
        ("./dir//example.com/app:>=1", "the version '>=1'"),
        ("what::./dir//example.com/app", "the type 'what'"),
        ("ctf+zip::./dir", "the format 'zip'"),
        ("oci::{nonsense}//example.com/app", "not JSON"),
        ('{"type":"Composition"}//example.com/app', "type 'Composition' is not supported"),
        ('{"type":"ctf"}//example.com/app', "no filePath"),
        ('{"type":"ctf","filePath":7}//example.com/app', "is not supported"),
        ("ghcr.io/A//example.com/app", "the prefix 'A'"),
        ("https:///x//example.com/app", "the registry ''"),
    ],
)
def test_the_error_of_a_malformed_reference_names_the_bad_part(text: str, part: str) -> None:
    with pytest.raises(BadReference) as raised:
        parse(text)
    assert part in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_reference_to_a_file_or_a_registry_must_not_be_ambiguous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse("new.ctf//example.com/app").repository == registry("new.ctf")
    os.mkdir("new.ctf")
    with pytest.raises(BadReference, match=r"write \./new\.ctf for the file"):
        parse("new.ctf//example.com/app")
    assert parse("./new.ctf//example.com/app").repository == RepositorySpec(ANY_ARCHIVE, "./new.ctf")


def test_a_repository_alone_has_no_component() -> None:
    assert parse_repository("ghcr.io/x") == registry("ghcr.io", "x")
    assert parse_repository("./x") == RepositorySpec(ANY_ARCHIVE, "./x")
    for text in ("./x//example.com/app", '{"type":"ctf","filePath":"x"}//example.com/app'):
        with pytest.raises(BadReference, match="leave out"):
            parse_repository(text)


def test_a_component_alone_has_no_repository() -> None:
    assert parse_component("example.com/app:1") == Location(None, APP, "1")
    with pytest.raises(BadReference, match="malformed"):
        parse_component("./x//example.com/app")


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("ghcr.io/x", {"type": "OCIRegistry", "baseUrl": "ghcr.io", "subPath": "x"}),
        ("http://localhost:1/y", {"type": "OCIRegistry/v1", "baseUrl": "http://localhost:1/y"}),
        ("ctf::./x", {"type": "CommonTransportFormat", "filePath": "./x"}),
        ("ca::./y", {"type": "ComponentArchive/v1", "filePath": "./y"}),
    ],
)
def test_a_repository_specification_means_the_same_as_its_reference(
    text: str, fields: dict[str, str]
) -> None:
    assert spec_from_fields(fields) == parse_repository(text)


@given(st.text(string.printable, max_size=60))
def test_any_reference_is_parsed_or_is_refused_in_one_sentence(text: str) -> None:
    try:
        parse(text)
    except BadReference as error:
        assert str(error).count("\n") == 0  # noqa: PT017 - that it is raised is not what is asserted
