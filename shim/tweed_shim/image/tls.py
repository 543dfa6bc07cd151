"""Whose certificates are trusted, and which certificate a client shows: TLS, for each server that is connected to.

Trusted are the authorities in `--ca-file` and no others; or else those that the environment names, or else the
system's, and for one registry those that its operator gave this host:

    ~/.config/containers/certs.d/HOST[:PORT]/   ($XDG_CONFIG_HOME)
    /etc/containers/certs.d/HOST[:PORT]/
    /etc/docker/certs.d/HOST[:PORT]/

The first of these directories that is there counts. `*.crt` are authorities, `NAME.cert` with `NAME.key` are what the
client shows. What `--cert-file` names is shown to the server that was asked for and to no other, wherever that sends.
Sources: containers-certs.d(5), Docker's "Verify repository client with certificates".
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import requests.utils
import urllib3
from urllib3.util.ssl_ import create_urllib3_context

from tweed_shim.connect_options import ConnectOptions
from tweed_shim.errors import ConfigError
from tweed_shim.image.reference import DOCKER_HUB
from tweed_shim.option_names import bare, option
from tweed_shim.records import Record
from tweed_shim.settings import home_directory
from tweed_shim.urls import DEFAULT_PORTS, Origin

SYSTEM_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
AUTHORITY_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
DIRECTORIES_VARIABLE = "SSL_CERT_DIR"
HOST_DIRECTORIES = ("/etc/containers/certs.d", "/etc/docker/certs.d")
HUB_HOST = "registry-1.docker.io"


class Pair(Record):
    """A client's certificate and its key; key_file None: it is in the same file. what: who named them."""

    what: str
    cert_file: str
    key_file: str | None = None


class Tls:
    """The TLS settings of one client, which was made for the server `owner`."""

    def __init__(self, owner: Origin, connect: ConnectOptions, environ: Mapping[str, str]) -> None:
        """Raise ConfigError for files that cannot be used."""
        if connect.key_file and not connect.cert_file:
            raise ConfigError(
                f"the key {connect.key_file} is for no certificate; name that with {option('--cert-file')}"
            )
        self._connect = connect
        self._environ = environ
        # Whatever the scheme is that it will be found to speak.
        self._owner = (owner.host, owner.port)
        self._contexts: dict[tuple[str | None, bool], ssl.SSLContext] = {}
        self._proxy_context: ssl.SSLContext | None = None
        # So that what is wrong with the caller's files is said before anything is asked.
        self.context(Origin("https", owner.host, owner.port))

    def context(self, server: Origin) -> ssl.SSLContext:
        """Return the context for connections to a server. Raises ConfigError."""
        own = (server.host, server.port) == self._owner
        directory = host_directory(server, self._environ)
        if (directory, own) not in self._contexts:
            if own and self._connect.cert_file:
                # What the caller names comes in the place of what the host has.
                pairs = [Pair(bare("--cert-file"), self._connect.cert_file, self._connect.key_file)]
            else:
                pairs = _pairs(directory) if directory else []
            self._contexts[directory, own] = self._make(directory, pairs)
        return self._contexts[directory, own]

    def proxy_context(self) -> ssl.SSLContext:
        """Return the context for a proxy over TLS: it is always verified, and shown no certificate.

        `--insecure` is about the registry, while the proxy is told the user's password.
        """
        if self._proxy_context is None:
            context = _new_context()
            _load_usual(context, self._environ)
            if self._connect.ca_file:
                _load(context, bare("--ca-file"), self._connect.ca_file)
            self._proxy_context = context
        return self._proxy_context

    def _make(self, directory: str | None, pairs: list[Pair]) -> ssl.SSLContext:
        context = _new_context()
        if self._connect.ca_file:
            _load(context, bare("--ca-file"), self._connect.ca_file)
        elif self._connect.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            # The caller knows.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        else:
            _load_usual(context, self._environ)
            for path in _files(directory, ".crt") if directory else []:
                _load(context, directory or "", path)
        for pair in pairs:
            _show(context, pair)
        return context


def is_configured(server: Origin, connect: ConnectOptions, environ: Mapping[str, str]) -> bool:
    """Tell whether somebody has said how to speak TLS with a server, so that plain HTTP is not meant."""
    return bool(connect.ca_file or connect.cert_file or host_directory(server, environ))


def host_directory(server: Origin, environ: Mapping[str, str]) -> str | None:
    """Return the directory of certificates that this host has for a server."""
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home_directory(environ) or "/", ".config")
    with_port = f"{server.host}:{server.port}"
    names = [server.host, with_port] if server.port == DEFAULT_PORTS["https"] else [with_port]
    if server.host == HUB_HOST:
        names.append(DOCKER_HUB)
    for parent in (os.path.join(config, "containers", "certs.d"), *HOST_DIRECTORIES):
        for name in names:
            if os.path.isdir(path := os.path.join(parent, name)):
                return path
    return None


def _new_context() -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    return context


def _load_usual(context: ssl.SSLContext, environ: Mapping[str, str]) -> None:
    """Trust whom the environment names, or else whom the system does."""
    file = next(((name, path) for name in AUTHORITY_VARIABLES if (path := environ.get(name))), None)
    directories = [each for each in environ.get(DIRECTORIES_VARIABLE, "").split(":") if each]
    if file is not None:
        _load(context, f"${file[0]}", file[1])
    for directory in directories:
        _load(context, f"${DIRECTORIES_VARIABLE}", directory)
    if file is None and not directories:
        path = next((path for path in SYSTEM_AUTHORITIES if os.path.exists(path)), None)
        _load(context, "the system's", path or requests.utils.DEFAULT_CA_BUNDLE_PATH)


def _load(context: ssl.SSLContext, named_by: str, path: str) -> None:
    """Trust the authorities in a file, or in all files of a directory. Raises ConfigError where there is none."""
    with _explained(f"the certificate authorities in {path} ({named_by})", "it holds no certificate"):
        if not os.path.isdir(path):
            context.load_verify_locations(cafile=path)
            return
        before = context.cert_store_stats()["x509"]
        for each in {os.path.realpath(entry.path) for entry in os.scandir(path)}:
            # Go reads all files too; OpenSSL those only whose names c_rehash(1) made.
            with suppress(ssl.SSLError, IsADirectoryError):
                context.load_verify_locations(cafile=each)
        if context.cert_store_stats()["x509"] == before:
            raise ssl.SSLError


def _show(context: ssl.SSLContext, pair: Pair) -> None:
    """Show a client's certificate where the server asks for one. Raises ConfigError."""

    def no_password() -> str:
        # OpenSSL would ask on the terminal.
        raise ConfigError(
            f"the client's key in {pair.key_file or pair.cert_file} ({pair.what}) is encrypted; "
            "give one without a passphrase, in a file that only you can read"
        )

    for path in filter(None, (pair.cert_file, pair.key_file)):
        with _explained(f"the client's certificate in {path} ({pair.what})", ""), open(path, "rb"):
            pass
    with _explained(
        f"the client's certificate in {pair.cert_file} ({pair.what})",
        f"it has no certificate, or its key is not in {pair.key_file or pair.cert_file}",
    ):
        context.load_cert_chain(pair.cert_file, pair.key_file, no_password)


@contextmanager
def _explained(what: str, unfit: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problem = unfit if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"{what} cannot be read: {problem}; name another file") from None


def _files(directory: str, ending: str) -> list[str]:
    with _explained(f"the directory {directory}", ""):
        return sorted(entry.path for entry in os.scandir(directory) if entry.name.endswith(ending))


def _pairs(directory: str) -> list[Pair]:
    """Find the client's certificates in a directory of the host. Raises ConfigError for one that has no key."""
    certificates = {path.removesuffix(".cert") for path in _files(directory, ".cert")}
    keys = {path.removesuffix(".key") for path in _files(directory, ".key")}
    for each in sorted(certificates ^ keys):
        there, missing = (".cert", ".key") if each in certificates else (".key", ".cert")
        raise ConfigError(
            f"{each}{there} lacks {os.path.basename(each)}{missing} beside it; add it, or move {each}{there} away"
        )
    return [Pair(directory, f"{each}.cert", f"{each}.key") for each in sorted(certificates)]
