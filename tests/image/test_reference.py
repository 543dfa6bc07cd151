import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweed_shim.errors import BadReference
from tweed_shim.hosts import is_loopback
from tweed_shim.image.reference import Reference, is_digest, parse, parse_registry

SHA256 = f"sha256:{'0a' * 32}"
SHA512 = f"sha512:{'0a' * 64}"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("redis:7", "docker.io/library/redis:7"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/redis", "docker.io/library/redis:latest"),
        ("index.docker.io/user/app:1", "docker.io/user/app:1"),
        ("docker://redis", "docker.io/library/redis:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("host:5000/a/b/c", "host:5000/a/b/c:latest"),
        ("registry.example/app:v1.0_x-y", "registry.example/app:v1.0_x-y"),
        ("Host/app", "Host/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:db8::1]/app:1", "[2001:db8::1]/app:1"),
        (f"app@{SHA256}", f"docker.io/library/app@{SHA256}"),
        (f"r.example/app:1@{SHA512}", f"r.example/app:1@{SHA512}"),
        ("a__b/c.d/e---f", "docker.io/a__b/c.d/e---f:latest"),
        ("docker://oci:5000/app", "docker://oci:5000/app:latest"),
        ("oci:dir", "oci:dir"),
        ("oci:/some dir/x:1.0", "oci:/some dir/x:1.0"),
        ("oci:/dir:a/b:c@d", "oci:/dir:a/b:c@d"),
        ("oci-archive:file.tar:latest", "oci-archive:file.tar:latest"),
        ("docker-archive:file.tar", "docker-archive:file.tar"),
        (
            "docker-archive:file.tar:localhost:5000/my_app:1.0",
            "docker-archive:file.tar:localhost:5000/my_app:1.0",
        ),
    ],
)
def test_a_reference_is_read_and_written_in_full(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert parse(canonical) == parse(text)


def test_the_parts_of_a_registry_reference() -> None:
    assert parse(f"r.example:5000/a/b:1@{SHA256}") == Reference(
        "docker", "r.example:5000", "a/b", "1", SHA256
    )


def test_a_digest_alone_gets_no_default_tag() -> None:
    assert parse(f"app@{SHA256}").tag is None


def test_the_parts_of_a_file_reference() -> None:
    assert parse("oci-archive:/a/b.tar:x") == Reference("oci-archive", tag="x", path="/a/b.tar")
    assert parse("oci:/a/b") == Reference("oci", path="/a/b")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "'' names no repository"),
        ("docker://", "names no repository"),
        ("host:5000/", "names no repository"),
        ("x:a b", "the tag 'a b' of 'x:a b'"),
        ("x:", "the tag '' of 'x:'"),
        ("x:-a", "the tag '-a'"),
        (f"x:{'a' * 129}", "the tag 'aaa"),
        ("x:1\n", "the tag '1\\n'"),
        ("X", "the repository 'X'"),
        ("a/B:1", "the repository 'a/B'"),
        ("/x", "write oci:/x for the directory"),
        ("./x", "write oci:./x for the directory"),
        ("../x/y.tar", "oci-archive: or docker-archive: before that of a file"),
        ("x/", "the repository 'x/'"),
        ("a//b", "the repository 'a//b'"),
        ("a/../b", "the repository 'a/../b'"),
        ("r.example/../x", "the repository '../x'"),
        ("a___b", "the repository 'a___b'"),
        ("a b", "the repository 'a b'"),
        ("é", "the repository 'é'"),
        ("a" * 300, "too long"),
        (f"{'a' * 300}.example/x", "too long"),
        ("host:99999/x", "the port '99999'"),
        ("host:0/x", "the port '0'"),
        ("host:/x", "the registry 'host:'"),
        ("host:80a/x", "the registry 'host:80a'"),
        ("-a.b/x", "the registry '-a.b'"),
        ("a..b/x", "the registry 'a..b'"),
        ("[::zz]/x", "the registry '[::zz]'"),
        ("[1::2::3]/x", "the registry '[1::2::3]'"),
        ("::1/x", "the registry '::1'"),
        ("x@", "the digest ''"),
        ("x@sha256:abc", "the digest 'sha256:abc'"),
        (f"x@{SHA256.upper()}", "the digest 'SHA256:"),
        (f"x@sha256:{'0A' * 32}", "the digest"),
        # The first could be a password.
        (f"x@{SHA256}@{SHA256}", "a user name or a password"),
        (f"x@md5:{'0' * 32}", "the digest 'md5:"),
        ("f" * 64, "is an image id"),
        ("https://r.example/x", "begins with 'https'"),
        ("me:hunter2@r.example/x", "a user name or a password"),
        ("docker://me:hunter2@r.example", "a user name or a password"),
        ("docker://hunter2@r.example:80", "a user name or a password"),
        ("oci://me:hunter2@r.example/x", "a user name or a password"),
        ("me:hunter2@r.example@" + SHA256, "a user name or a password"),
        ("docker://me:hunt/er2@r.example/x:1", "a user name or a password"),
        ("https://me:hunter2@r.example/x", "a user name or a password"),
        ("127.1/x", "the registry '127.1'"),
        ("0x7f000001:80/x", "the registry '0x7f000001:80'"),
        ("127.0.0.256/x", "the registry '127.0.0.256'"),
        (f"{'a' * 64}.example/x", "the registry"),
        ("oci:", "names no directory"),
        ("oci-archive::x", "names no file"),
        ("oci:a\0b", "names no directory"),
        ("oci:dir:", "the tag ''"),
        ("oci:dir:/x", "the tag '/x'"),
        ("docker-archive:file:a b", "the tag 'a b'"),
    ],
)
def test_a_malformed_reference_is_refused_by_the_part_that_is_wrong(text: str, part: str) -> None:
    with pytest.raises(BadReference) as refusal:
        parse(text)
    assert part in str(refusal.value)
    assert "er2" not in str(refusal.value)


COMPONENT = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
HOST = st.one_of(
    st.from_regex(r"([A-Za-z0-9]([A-Za-z0-9-]{0,6}[A-Za-z0-9])?\.){1,3}[a-z]{2,5}", fullmatch=True),
    st.sampled_from(["localhost", "127.0.0.1", "docker.io", "index.docker.io"]),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]").filter(lambda text: "." not in text),
)
PORT = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
TAG = st.one_of(st.just(""), st.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True))
DIGEST = st.one_of(
    st.just(""), st.text("0123456789abcdef", min_size=64, max_size=64).map("@sha256:{}".format)
)


@given(HOST, PORT, st.lists(COMPONENT, min_size=1, max_size=4).map("/".join), TAG, DIGEST)
def test_a_full_reference_survives_writing_and_reading(
    host: str, port: str, repository: str, tag: str, digest: str
) -> None:
    reference = parse(f"{host}{port}/{repository}{tag}{digest}")
    assert parse(str(reference)) == reference
    assert reference.repository.endswith(repository)
    assert f":{reference.tag}" == (tag or ("" if digest else ":latest") or ":None")
    assert f"@{reference.digest}" == (digest or "@None")


@given(st.one_of(st.text(), st.text(string.ascii_letters + string.digits + ":/@.-_[]", max_size=60)))
def test_whatever_is_typed_is_a_reference_or_refused(text: str) -> None:
    for transport in ("", "docker://", "oci:", "oci-archive:", "docker-archive:"):
        try:
            reference = parse(transport + text)
        except BadReference:
            continue
        assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [
        ("localhost", True),
        ("LocalHost:5000", True),
        ("127.0.0.1", True),
        ("127.1.2.3:80", True),
        ("[::1]:5000", True),
        ("[0:0:0:0:0:0:0:1]", True),
        ("[::2]", False),
        ("127.evil.example", False),
        # Names, or addresses that inet_aton(3) knows alone.
        ("127.1", False),
        ("127.300.1.1", False),
        ("127.0.0.01", False),
        ("2130706433", False),
        ("[::ffff:7f00:1]", False),
        ("127.0.0.1.example", False),
        ("localhost.example", False),
        ("registry.example:5000", False),
        ("", False),
        ("not a host", False),
    ],
)
def test_only_this_machine_itself_is_loopback(registry: str, loopback: bool) -> None:
    assert is_loopback(registry) is loopback


def test_a_registry_alone_is_read_as_people_write_it() -> None:
    assert parse_registry("https://r.example:5000/") == "r.example:5000"
    assert parse_registry("index.docker.io") == parse_registry("Registry-1.Docker.io") == "docker.io"
    with pytest.raises(BadReference, match="a user name or a password"):
        parse_registry("https://me:hunter2@r.example")
    with pytest.raises(BadReference, match=r"the registry 'r\.example/x'"):
        parse_registry("r.example/x")


def test_a_digest_has_the_length_of_its_algorithm() -> None:
    assert is_digest(SHA256)
    assert is_digest(SHA512)
    assert not is_digest(SHA256 + "0")
    assert not is_digest(f"sha512:{'0a' * 32}")
    assert not is_digest("")
