"""Proxies: which one the environment names for a request, and registries behind them, over TLS too."""

import json
import os
from collections.abc import Callable, Iterator
from threading import Timer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forward_proxies import forward_proxy
from layouts import Layer, LayoutWriter
from servers import Fault, RegistryServer, faulty_proxy
from token_servers import Authority, make_authority
from tweed_shim.errors import ConfigError, RegistryError
from tweed_shim.http import urls
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.http.proxies import Proxy, is_direct, proxy_for
from tweed_shim.http.retries import RetryPolicy
from tweed_shim.http.urls import Origin
from tweed_shim.image.reference import parse
from tweed_shim.image.registry import Repository, open_repository

SHORT = RetryPolicy(attempts=2, first_pause=0.001, longest_pause=0.002)


def origin(text: str) -> Origin:
    return urls.parse(text).origin


# ---- which proxy


def test_the_upper_case_variable_counts_first_as_in_go() -> None:
    environ = {"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1", "http_proxy": "plain:2"}
    assert proxy_for(origin("https://r.example"), environ) == Proxy("HTTPS_PROXY", origin("http://upper:1"))
    assert proxy_for(origin("http://r.example"), environ) == Proxy("http_proxy", origin("http://plain:2"))
    assert proxy_for(origin("https://r.example"), {"https_proxy": "", "HTTPS_PROXY": ""}) is None
    assert proxy_for(origin("https://r.example"), {"http_proxy": "plain:2"}) is None


def test_what_neither_says_all_proxy_says() -> None:
    environ = {"all_proxy": "http://all:1", "http_proxy": "http://plain:1"}
    assert proxy_for(origin("https://r.example"), environ) == Proxy("all_proxy", origin("http://all:1"))
    assert proxy_for(origin("http://r.example"), environ) == Proxy("http_proxy", origin("http://plain:1"))


def test_the_header_of_a_cgi_request_is_no_proxy() -> None:
    environ = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET", "HTTPS_PROXY": "http://good:1"}
    assert proxy_for(origin("http://r.example"), environ) is None
    assert proxy_for(origin("https://r.example"), environ) == Proxy("HTTPS_PROXY", origin("http://good:1"))
    environ["http_proxy"] = "http://good:1"
    assert proxy_for(origin("http://r.example"), environ) == Proxy("http_proxy", origin("http://good:1"))


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("proxy", "http://proxy:80"),
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        (" http://proxy:3128/ ", "http://proxy:3128"),
        ("HTTPS://Proxy.Example", "https://proxy.example:443"),
        ("https://[fd00::1]:8443/ignored/path", "https://[fd00::1]:8443"),
        ("http://me:p%40ss%2F@proxy:1", "http://me:p%40ss%2F@proxy:1"),
        ("me:p@ss:word@proxy:1", "http://me:p%40ss%3Aword@proxy:1"),
        ("http://me@proxy:1", "http://me:@proxy:1"),
    ],
)
def test_a_proxy_is_written_with_or_without_its_scheme_and_user(value: str, url: str) -> None:
    found = proxy_for(origin("https://r.example"), {"https_proxy": value})
    assert found is not None
    assert found.url == url
    assert "ss" not in repr(found)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:hunter2@proxy:1080", "http://", "http://me:hunter2@", "http://me:hunter2@:1", "://x:hunter2@y",
        "http://me:hunter2@proxy:port", "http://me:hunter2@proxy:99999", "http://me:hun/ter2@proxy:1", "a b",
        "http://me:hunter2@[::1", "http://me:hunter2@127.1:80", "http://me:hunter2@pro\\xy:80", "hunter2:1:2",
        "ftp://hunter2", "http://me:hunter2#@proxy:1", "http://me:hunter2@proxy:1\n",
    ],
)  # fmt: skip
def test_a_variable_that_makes_no_sense_is_named_without_its_value(value: str) -> None:
    if value.endswith("\n"):
        value = value.replace("proxy", "pro\txy")
    with pytest.raises(ConfigError, match=r"^\$https_proxy does not name a proxy: .*; write ") as refusal:
        proxy_for(origin("https://r.example"), {"https_proxy": value})
    assert "hun" not in str(refusal.value)


# (a list, an address, whether it is asked directly), as golang.org/x/net/http/httpproxy decides
DIRECT = [
    ("*", "https://r.example", True),
    ("a.example, * ,", "https://10.0.0.1", True),
    ("", "https://r.example", False),
    ("r.example", "https://r.example", True),
    ("R.Example", "https://r.example", True),
    ("r.example", "https://sub.r.example", True),
    ("r.example", "https://other.example", False),
    ("r.example", "https://xr.example", False),
    (".r.example", "https://r.example", False),
    (".r.example", "https://sub.r.example", True),
    ("*.r.example", "https://sub.r.example", True),
    ("*.r.example", "https://r.example", False),
    ("*r.example", "https://r.example", False),
    ("r.example:443", "https://r.example", True),
    ("r.example:5000", "https://r.example", False),
    ("r.example:5000", "https://r.example:5000", True),
    ("*.r.example:5000", "https://sub.r.example:5000", True),
    (".r.example:5000", "https://sub.r.example", False),
    ("r.example:80", "http://r.example", True),
    ("bücher.example", "https://xn--bcher-kva.example", True),
    ("10.0.0.1", "https://10.0.0.1", True),
    ("10.0.0.1", "https://10.0.0.10", False),
    ("10.0.0.1:443", "https://10.0.0.1", True),
    ("10.0.0.1:444", "https://10.0.0.1", False),
    ("10.0.0.0/8", "https://10.1.2.3", True),
    ("10.0.0.0/8", "https://11.1.2.3", False),
    ("10.0.0.7/8", "https://10.1.2.3", True),
    ("10.0.0.0/8", "https://10.1.2.3:5000", True),
    ("0.0.0.1", "https://10.0.0.0", False),
    (".0.0.1", "https://10.0.0.1", False),
    ("10", "https://10.0.0.1", False),
    ("fd00::1", "https://[fd00::1]", True),
    ("FD00:0::1", "https://[fd00::1]", True),
    ("[fd00::1]", "https://[fd00::1]", True),
    ("[fd00::1]:5000", "https://[fd00::1]:5000", True),
    ("[fd00::1]:5000", "https://[fd00::1]", False),
    ("fd00::/8", "https://[fd12::1]", True),
    ("fd00::/8", "https://[fe80::1]", False),
    ("fd00::/8", "https://10.0.0.1", False),
    ("10.0.0.0/8", "https://[::ffff:a00:1]", True),
    ("10.0.0.0/33", "https://10.0.0.1", False),
    ("http://r.example", "https://r.example", False),
    (":443", "https://r.example", False),
    (":", "https://r.example", False),
    (".", "https://r.example", False),
    ("r.example:", "https://r.example", True),
    ("r.example.", "https://r.example", True),
    (", ,r.example", "https://r.example", True),
]


@pytest.mark.parametrize(("no_proxy", "url", "direct"), DIRECT)
def test_no_proxy_is_read_as_go_reads_it(no_proxy: str, url: str, direct: bool) -> None:
    assert is_direct(origin(url), no_proxy) is direct
    environ = {"https_proxy": "http://p:1", "http_proxy": "http://p:1", "NO_PROXY": no_proxy}
    assert (proxy_for(origin(url), environ) is None) is direct


@pytest.mark.parametrize("url", ["http://localhost:5000", "https://127.0.0.2", "https://[::1]:5000"])
def test_this_machine_is_asked_directly(url: str) -> None:
    assert proxy_for(origin(url), {"https_proxy": "nonsense\\", "http_proxy": "http://p:1"}) is None


@given(st.text(alphabet="*.:/[]abr10exmpl-, é\\", max_size=30))
def test_no_list_is_a_fault(no_proxy: str) -> None:
    assert is_direct(origin("https://r.example"), no_proxy) in (True, False)
    assert is_direct(origin("https://[fd00::1]:5000"), no_proxy) in (True, False)


@given(st.text(max_size=40))
def test_each_value_names_a_proxy_or_is_refused(value: str) -> None:
    try:
        found = proxy_for(origin("https://r.example"), {"https_proxy": value})
    except ConfigError:
        return
    assert found is None or proxy_for(origin("https://r.example"), {"https_proxy": found.url}) == found


# ---- registries behind proxies


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signed the certificate of the proxies."""
    return make_authority(os.fspath(tmp_path_factory.mktemp("proxy")))


@pytest.fixture(scope="module")
def digest(registry_with_tls: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    layout = os.fspath(tmp_path_factory.mktemp("layout"))
    writer = LayoutWriter(layout)
    writer.tag("image", writer.image([Layer({"data": b"x" * 300_000}, "none")]))
    registry_with_tls.push(layout, "image", "app:1", extra=["--preserve-digests"])
    return str(writer.index[0]["digest"])


@pytest.fixture
def environ(tmp_path: os.PathLike[str]) -> dict[str, str]:
    return {"HOME": os.fspath(tmp_path), "XDG_RUNTIME_DIR": os.fspath(tmp_path)}


@pytest.fixture
def opened(environ: dict[str, str], registry_with_tls: RegistryServer) -> Iterator[Callable[..., Repository]]:
    """Opens `registry.example/app`, whose certificate is signed by the authority of the TLS registry."""
    repositories = []

    def open_one(name: str = "registry.example/app", **options: Any) -> Repository:
        connect = ConnectOptions(**{"ca_file": registry_with_tls.ca_file, **options})
        repositories.append(
            open_repository(parse(name), connect=connect, environ=environ, retry_policy=SHORT)
        )
        return repositories[-1]

    yield open_one
    for each in repositories:
        each.close()


Opened = Callable[..., Repository]


def check_all(repository: Repository, digest: str) -> None:
    manifest = repository.manifest("1")
    assert manifest.digest == digest
    [layer] = json.loads(manifest.body)["layers"]
    with repository.open_blob(layer["digest"]) as blob:
        assert sum(map(len, blob.chunks)) == layer["size"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_registry_over_tls_is_read_through_a_proxy(
    opened: Opened,
    registry_with_tls: RegistryServer,
    environ: dict[str, str],
    authority: Authority,
    digest: str,
    scheme: str,
) -> None:
    environ["SSL_CERT_FILE"] = authority.ca_file
    user = "me:p@ss/é"
    with forward_proxy(registry_with_tls.host, authority if scheme == "https" else None, user=user) as proxy:
        environ["HTTPS_PROXY"] = f"{scheme}://me:p%40ss%2F%C3%A9@localhost:{proxy.server_address[1]}"
        repository = opened()
        check_all(repository, digest)
        assert set(proxy.asked) == {"CONNECT registry.example:443"}
        repository.close()
        with pytest.raises(RegistryError, match="was stopped"):
            repository.manifest("1")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_registry_over_plain_http_is_read_through_a_proxy(
    opened: Opened, registry: RegistryServer, environ: dict[str, str], authority: Authority, scheme: str
) -> None:
    environ["SSL_CERT_FILE"] = authority.ca_file
    with forward_proxy(registry.host, authority if scheme == "https" else None, refuses=503) as proxy:
        environ["http_proxy"] = environ["https_proxy"] = f"{scheme}://{proxy.host}"
        with pytest.raises(RegistryError, match=r"registry\.example does not have the repository nothing"):
            opened("registry.example/nothing", insecure=True, ca_file=None).manifest("1")
        assert "GET http://registry.example/v2/nothing/manifests/1" in proxy.asked


def test_an_address_that_no_proxy_names_is_asked_directly(
    opened: Opened, registry_with_tls: RegistryServer, environ: dict[str, str]
) -> None:
    with forward_proxy(registry_with_tls.host) as proxy:
        environ |= {"https_proxy": f"http://{proxy.host}", "no_proxy": "*.example"}
        with pytest.raises(RegistryError, match=r"registry\.example"):
            opened().manifest("1")
        assert not proxy.asked


@pytest.mark.parametrize("insecure", [False, True])
def test_a_proxy_with_an_untrusted_certificate_gets_no_password(
    opened: Opened,
    registry_with_tls: RegistryServer,
    environ: dict[str, str],
    authority: Authority,
    insecure: bool,
) -> None:
    options = {"insecure": True, "ca_file": None} if insecure else {}
    with forward_proxy(registry_with_tls.host, authority) as proxy:
        # With --insecure plain HTTP is tried, too.
        environ["https_proxy"] = environ["http_proxy"] = f"https://me:hunter2@{proxy.host}"
        said = rf"the certificate of the proxy https://{proxy.host} \(\$https?_proxy\) is not trusted .*\$SSL_CERT_FILE"
        with pytest.raises(RegistryError, match=said) as refusal:
            opened(**options).manifest("1")
        assert not proxy.asked
    assert "hunter2" not in str(refusal.value)


def test_a_certificate_behind_a_proxy_over_tls_is_checked(
    opened: Opened, registry_with_tls: RegistryServer, environ: dict[str, str], authority: Authority
) -> None:
    with forward_proxy(registry_with_tls.host, authority) as proxy:
        environ |= {"https_proxy": f"https://{proxy.host}", "SSL_CERT_FILE": authority.ca_file}
        with pytest.raises(
            RegistryError, match=r"the certificate of the registry registry\.example is not trusted"
        ):
            opened(ca_file=None).manifest("1")


@pytest.mark.parametrize(
    ("user", "said"),
    [("", "asks for a user name and a password"), ("me:hunter2@", "refuses the user name and password")],
)
@pytest.mark.parametrize("variable", ["https_proxy", "HTTP_PROXY"])
def test_a_proxy_that_refuses_the_password_is_named(
    opened: Opened,
    registry_with_tls: RegistryServer,
    environ: dict[str, str],
    variable: str,
    user: str,
    said: str,
) -> None:
    plain = variable == "HTTP_PROXY"
    with forward_proxy(registry_with_tls.host, user="other:other") as proxy:
        environ[variable] = f"http://{user}{proxy.host}"
        if plain:
            environ["https_proxy"] = "http://other:other@" + proxy.host
            proxy.refuses = 503
        with pytest.raises(
            RegistryError, match=rf"the proxy http://{proxy.host} {said} \(HTTP 407\); .*\${variable}"
        ) as refusal:
            opened(insecure=plain, ca_file=None).manifest("1")
    assert "hunter2" not in str(refusal.value)


def test_a_proxy_that_does_not_work_is_named_by_its_variable(
    opened: Opened, registry_with_tls: RegistryServer, environ: dict[str, str], authority: Authority
) -> None:
    with forward_proxy(registry_with_tls.host, refuses=502) as proxy:
        environ["https_proxy"] = f"http://{proxy.host}"
        with pytest.raises(
            RegistryError, match=r"\(\$https_proxy\) does not connect to registry\.example \(HTTP 502\)"
        ):
            opened().manifest("1")
        environ |= {"https_proxy": f"https://{proxy.host}", "SSL_CERT_FILE": authority.ca_file}
        with pytest.raises(
            RegistryError, match=r"\(\$https_proxy\) does not speak TLS; write http:// in \$https_proxy"
        ):
            opened().manifest("1")
    with pytest.raises(
        RegistryError, match=rf"nothing answers at the proxy https://{proxy.host} \(\$https_proxy\)"
    ):
        opened().manifest("1")
    environ["https_proxy"] = "http://no.such.host.invalid"
    with pytest.raises(RegistryError, match=r"no\.such\.host\.invalid \(\$https_proxy\)"):
        opened().manifest("1")
    environ["https_proxy"] = "http://["
    with pytest.raises(ConfigError, match=r"\$https_proxy does not name a proxy"):
        opened().manifest("1")


def test_closing_ends_what_waits_behind_a_proxy_over_tls(
    opened: Opened,
    environ: dict[str, str],
    authority: Authority,
    registry_with_tls: RegistryServer,
    tmp_path: os.PathLike[str],
) -> None:
    inner = make_authority(os.fspath(tmp_path))
    with (
        faulty_proxy(registry_with_tls.host, inner) as server,
        forward_proxy(server.host, authority) as proxy,
    ):
        server.spoil("GET /v2/$", Fault(200))
        server.spoil("manifests", Fault(200, body=b"x" * 1000, drip=0.05, dry=300), times=9)
        environ |= {"https_proxy": f"https://{proxy.host}", "SSL_CERT_FILE": authority.ca_file}
        repository = opened(ca_file=inner.ca_file)
        timer = Timer(0.3, repository.close)
        timer.start()
        with pytest.raises(RegistryError, match="was stopped"):
            repository.manifest("1")
        timer.join()
