"""A user name and a password before a registry are refused, and no message repeats them."""

import itertools
import json
from collections.abc import Callable

import pytest

from tweed_shim import urls
from tweed_shim.cli import main
from tweed_shim.errors import ShimError
from tweed_shim.image import reference
from tweed_shim.ocm import locations

SECRET = "hunter2"
BEFORE = (
    "", "docker://", "https://", "http://", "oci://", "oci-archive://", "ftp://", "ctf::", "OCIRegistry::", "+ctf::",
    "x::", "docker://docker://", "//", "ctf+zip::", "registry.example/", '{"type":"oci","baseUrl":"https://',
)  # fmt: skip
USERS = (f"user:{SECRET}@", f"{SECRET}@", f":{SECRET}@", f"user:{SECRET}@{SECRET}@", f"user:{SECRET}:x@")
HOSTS = ("", "host", "host:5000", "registry.example", "localhost", "[::1]", "HOST", "1.2.3.4:99999", "h_h")
AFTER = (
    "", "/", "/repo", "/Repo", "/repo:tag", "/repo:bad:tag", f"/repo@sha256:{'0' * 64}", "/repo@sha256:00",
    f"@sha256:{'0' * 64}", "//a.b/c:1", "/x//a.b/C:1", "//UP", '"}', '"}//a.b/c', ":tag", "\0", "?x", "#x",
)  # fmt: skip


def of_base_url(text: str) -> object:
    return locations.from_fields({"type": "oci", "baseUrl": text})


@pytest.mark.parametrize(
    "parse",
    [
        reference.parse,
        reference.parse_registry,
        locations.parse,
        locations.parse_repository,
        locations.parse_component,
        of_base_url,
        urls.parse,
    ],
)
def test_no_parser_repeats_a_password_or_takes_it_for_something_else(parse: Callable[[str], object]) -> None:
    for parts in itertools.product(BEFORE, USERS, HOSTS, AFTER):
        text = "".join(parts)
        try:
            said = str(parse(text))
        except ShimError as error:
            said = str(error)
        assert SECRET not in said, text


@pytest.mark.parametrize(
    "text", ["oci:user:hunter2@/x", "oci-archive:user:hunter2@host?x", "oci:user:hunter2@"]
)
def test_a_malformed_name_inside_of_a_file_is_not_repeated_where_it_may_be_a_password(text: str) -> None:
    with pytest.raises(ShimError) as refused:
        reference.parse(text)
    assert SECRET not in str(refused.value)


LOCATIONS = (f"docker://user:{SECRET}@host", f"https://user:{SECRET}@host", f"user:{SECRET}@host:5000/x")
COMMANDS = (
    ("pull",),
    ("exec", "{}", "metadata"),
    ("spec", "{}", "metadata"),
    ("rm",),
    ("login", "{}", "--username", "u", "--password-stdin"),
    ("logout",),
    ("ocm", "get"),
    ("ocm", "resources"),
    ("ocm", "transfer", "./archive.ctf//a.example/b:1"),
    ("ocm", "get", "a.example/b:1", "--repo"),
    ("ocm", "get", "a.example/b:1", "--lookup"),
    ("toi", "describe"),
    ("toi", "bootstrap", "install"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("location", LOCATIONS)
def test_no_command_repeats_a_password(
    words: tuple[str, ...], location: str, tmp_path: object, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [location if word == "{}" else word for word in words]
    if "{}" not in words:
        given.append(location)
    code = main.main(["--root", f"{tmp_path}/store", "--log-format", "json", *given])
    out, err = capfd.readouterr()
    assert code in (1, 125), (out, err)
    assert SECRET not in out + err
    assert json.loads(err.splitlines()[-1])["level"] == "error"
