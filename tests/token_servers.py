"""What the registries of the tests lean on: small HTTP servers on loopback, certificates, and a server of tokens."""

import base64
import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "tester", "pass:word$ é"
IDENTITY_TOKEN = "identity-of-the-tester"
SERVICE, ISSUER = "a registry", "a token server"


def openssl(*arguments: str, data: bytes | None = None) -> bytes:
    """What openssl writes."""
    return subprocess.run(["openssl", *arguments], input=data, check=True, capture_output=True).stdout


class Authority(NamedTuple):
    """A certificate authority, and a key and certificate for this machine that it signed; paths."""

    ca_file: str
    key: str
    certificate: str


def make_authority(directory: str) -> Authority:
    """A new authority in `directory`."""
    ca, ca_key, key, request, certificate, extensions = (
        os.path.join(directory, name)
        for name in ("ca.pem", "ca.key", "server.key", "server.csr", "server.pem", "ext")
    )
    make = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    # Python is strict from 3.13 on: RFC 5280, 4.2.1.1 and 4.2.1.3.
    authority = ("-subj", f"/CN=authority {uuid.uuid4()}", "-addext", "keyUsage=critical,keyCertSign")
    openssl(*make, "-x509", "-keyout", ca_key, "-out", ca, *authority, "-days", "2")
    openssl(*make, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    with open(extensions, "w", encoding="utf-8") as file:
        file.write(
            "subjectAltName=DNS:localhost,DNS:registry.example,IP:127.0.0.1,IP:::1\nauthorityKeyIdentifier=keyid\n"
        )
    signing = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-extfile", extensions, "-days", "2")
    openssl("x509", "-req", "-in", request, *signing, "-out", certificate)
    return Authority(ca, key, certificate)


class QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to talk about."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(server: Server) -> Iterator[None]:
    """Serve for the time of the block."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class TokenServer(Server):
    """Gives tokens that a docker-registry believes: to the tester for everything, to others for `public/...`.

    The distribution project's "Token Authentication Specification" (GET, Basic) and "Oauth2 Token Authentication"
    (POST, an identity token). `lifetime` is how many seconds the next tokens are good for.
    """

    def __init__(self, directory: str) -> None:
        super().__init__(("127.0.0.1", 0), _TokenHandler)
        self.lifetime = 300
        self.given = 0
        self._key = os.path.join(directory, "token.key")
        self.certificate = os.path.join(directory, "token.pem")
        openssl(
            *(
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-keyout",
                self._key,
                "-out",
                self.certificate,
            ),
            *("-subj", f"/CN={ISSUER}", "-days", "2"),
        )
        self._der = openssl("x509", "-in", self.certificate, "-outform", "DER")

    def token(self, subject: str, access: list[dict[str, Any]]) -> str:
        """A signed JSON web token (RFC 7519)."""
        self.given += 1
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(self._der).decode()]}
        about = {"iss": ISSUER, "sub": subject, "aud": SERVICE, "jti": str(uuid.uuid4()), "access": access}
        claims = {**about, "iat": now, "nbf": now - 600, "exp": now + self.lifetime}
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", self._key, data=signed)
        return (signed + b"." + _base64url(signature)).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class _TokenHandler(QuietHandler):
    server: TokenServer

    def do_GET(self) -> None:
        header = self.headers.get("Authorization")
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if header is not None and header != f"Basic {expected}":
            return self.answer(401, b"{}")
        return self._grant(USER if header else "", parse_qs(urlsplit(self.path).query))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if form.get("grant_type") != ["refresh_token"] or form.get("refresh_token") != [IDENTITY_TOKEN]:
            return self.answer(401, b"{}")
        return self._grant(USER, form)

    def _grant(self, subject: str, asked: Mapping[str, list[str]]) -> None:
        access = []
        for scope in " ".join(asked.get("scope", [])).split():
            kind, name, actions = scope.split(":")
            if subject or (name.startswith("public/") and actions == "pull"):
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        token = self.server.token(subject, access)
        name = "token" if self.command == "GET" else "access_token"
        self.answer(200, json.dumps({name: token}).encode(), {"Content-Type": "application/json"})
