"""Real PostgreSQL servers on loopback, with roles as an operator makes them, and psql to see what they hold."""

import glob
import os
import pwd
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from leftovers import work_directory
from token_servers import make_authority

# What JSON, the shell, SQL, a connection string and a password file each have a special meaning for.
PASSWORD = "blank \"double\" 'single' $dollar `tick` \\back:colon\\n\nline é 🔑 %s @/?#"
SUPERUSER, ADMINISTRATOR = "postgres", "deployer"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "logging_collector": "off",
    "log_statement": "all",
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
}


class PostgresError(Exception):
    """psql has failed; its words are the argument."""


def _programs() -> str:
    """The directory of the newest server that is installed."""
    found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
    return os.path.dirname(max(found, key=lambda path: int(path.split("/")[4])))


def _psql() -> list[str]:
    return [f"{_programs()}/psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1"]


def psql(environment: Mapping[str, str], script: str) -> str:
    """Run a script of SQL; returns its rows, one on each line, with tabs in between. Raises PostgresError."""
    done = subprocess.run(
        _psql(),
        input=script,
        capture_output=True,
        text=True,
        env={"PATH": os.defpath, "PGCONNECT_TIMEOUT": "10", **environment},
        check=False,
    )
    if done.returncode != 0:
        raise PostgresError(done.stderr)
    return done.stdout.removesuffix("\n")


class PostgresServer(NamedTuple):
    """Where a server listens; PASSWORD is that of each of its administrators.

    log: the file of what it has logged. ca_file: who signed its certificate.
    """

    host: str
    port: int
    log: str
    ca_file: str

    def environment(self, username: str, password: str, database: str = "postgres") -> dict[str, str]:
        """The variables with which psql logs in."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": username,
            "PGPASSWORD": password,
            "PGDATABASE": database,
        }

    def run(self, script: str, *, database: str = "postgres") -> str:
        """What psql prints for a script of the superuser's."""
        return psql(self.environment(SUPERUSER, PASSWORD, database), script)

    @contextmanager
    def session(self, environment: Mapping[str, str], script: str) -> Iterator[None]:
        """A session that has run a script and stays open for the length of the block, unless the server ends it."""
        with subprocess.Popen(
            _psql(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, **environment},
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{script}\n\\echo ready\n")
            process.stdin.flush()
            assert process.stdout.readline() == "ready\n"
            yield

    def roles(self) -> set[str]:
        """The names of all roles but those that come with the server."""
        return set(self.run("SELECT rolname FROM pg_roles WHERE oid >= 16384").split())

    def databases(self) -> set[str]:
        """The names of all databases but those that come with the server."""
        return set(self.run("SELECT datname FROM pg_database WHERE oid >= 16384").split())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _owner() -> pwd.struct_passwd:
    """Who runs the server, which refuses to be run by root: the user that comes with Debian's package."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def _as_owner(program: str, *arguments: str, cwd: str) -> int:
    owner = _owner()
    return subprocess.run(
        [f"{_programs()}/{program}", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=cwd,
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
    ).returncode


def _start(data: str, log: str, more: Mapping[str, str]) -> int:
    """Start a server that listens on a port, which is returned; somebody else may take a port before its use."""
    for _ in range(10):
        port = _free_port()
        settings = {**SETTINGS, **more, "port": str(port)}
        options = " ".join(f"--{name}={value}" for name, value in settings.items())
        if _as_owner("pg_ctl", "start", "--wait", "-D", data, "-l", log, "-o", options, cwd=data) == 0:
            return port
    raise RuntimeError("postgres does not start")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server for the time of the block; ADMINISTRATOR may make roles and databases there, and nothing else."""
    with work_directory() as directory:
        first, data = os.path.join(directory, "first"), os.path.join(directory, "data")
        # initdb takes only the first line of a file for the password.
        with open(first, "w", encoding="ascii") as file:
            file.write("first")
        authority = make_authority(directory)
        for path in (directory, first, authority.key):
            os.chown(path, _owner().pw_uid, _owner().pw_gid)
        options = ("--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={first}")
        assert _as_owner("initdb", *options, f"--username={SUPERUSER}", data, cwd=directory) == 0
        log = os.path.join(directory, "log")
        port = _start(
            data, log, {"ssl": "on", "ssl_cert_file": authority.certificate, "ssl_key_file": authority.key}
        )
        try:
            server = PostgresServer("127.0.0.1", port, log, authority.ca_file)
            psql(server.environment(SUPERUSER, "first"), f"ALTER ROLE {SUPERUSER} PASSWORD $x${PASSWORD}$x$;")
            server.run(f"CREATE ROLE {ADMINISTRATOR} LOGIN CREATEROLE CREATEDB PASSWORD $x${PASSWORD}$x$;")
            yield server
        finally:
            assert _as_owner("pg_ctl", "stop", "--mode=immediate", "-D", data, cwd=directory) == 0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with passwords that are hard to quote."""
    with running_postgres() as server:
        yield server
