"""Proxies on loopback as a company has them: CONNECT and plain forwarding, over TCP or over TLS, with a password.

All names that they are asked for are the registry of the test.
"""

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from token_servers import Authority, QuietHandler, Server, serving


class ForwardProxy(Server):
    """A proxy; `asked` has what it was asked to reach, such as `CONNECT registry.example:443`.

    target: `host:port` of the registry. user: `name:password`, where it wants one. refuses: the status of its answers
    to CONNECT, if it makes no tunnel.
    """

    def __init__(
        self, target: str, authority: Authority | None = None, *, user: str = "", refuses: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.target = target
        self.user = user
        self.refuses = refuses
        self.asked: list[str] = []


class _Handler(QuietHandler):
    server: ForwardProxy

    def _may(self) -> bool:
        expected = f"Basic {base64.b64encode(self.server.user.encode()).decode()}"
        if not self.server.user or self.headers.get("Proxy-Authorization") == expected:
            return True
        self.answer(407, b"", {"Proxy-Authenticate": 'Basic realm="proxy"'})
        return False

    def do_CONNECT(self) -> None:  # noqa: N802 - the base class calls it so
        self.server.asked.append(f"CONNECT {self.path}")
        self.close_connection = True
        if not self._may():
            return
        if self.server.refuses:
            self.answer(self.server.refuses)
            return
        host, _, port = self.server.target.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            back = Thread(target=_copy, args=(upstream, self.connection), daemon=True)
            back.start()
            _copy(self.connection, upstream)
            back.join()

    def do_GET(self) -> None:  # noqa: N802 - likewise
        self.server.asked.append(f"{self.command} {self.path}")
        if not self._may():
            return
        connection = http.client.HTTPConnection(self.server.target)
        try:
            path = "/" + self.path.split("/", 3)[3]
            connection.request(self.command, path, headers=dict(self.headers))
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name != "Transfer-Encoding"}
            self.answer(response.status, response.read(), headers)
        finally:
            connection.close()

    do_HEAD = do_GET  # noqa: N815 - likewise


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def forward_proxy(
    target: str, authority: Authority | None = None, *, user: str = "", refuses: int = 0
) -> Iterator[ForwardProxy]:
    """A ForwardProxy for the time of the block."""
    proxy = ForwardProxy(target, authority, user=user, refuses=refuses)
    with serving(proxy):
        yield proxy
