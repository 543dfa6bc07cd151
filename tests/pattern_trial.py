"""Takes many instances of the Redis pattern through their lives at once, and looks for what that leaves.

A life: provision, two binds whose credentials are used, unbind of the first, deprovision. Every fourth instance keeps
its second binding until deprovision. Each worker runs one program at a time, so that there are as many processes
at work on the one store as there are workers.
"""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from examinations import unfinished_work
from installed import Result, Shim
from redis_servers import RedisClient, RedisError, RedisServer, Reply

CLOUD = "trial"
DATABASES = 16
TIMEOUT = 300
OPERATIONS = ("provision", "bind", "unbind", "deprovision")


class Failure(Exception):
    """A step of a life went wrong; the text says which and how."""


class Life(NamedTuple):
    """What came of one instance. seconds: how long each operation took. secrets: the passwords of its bindings."""

    fault: str
    seconds: list[tuple[str, float]]
    secrets: list[str]


class RedisState(NamedTuple):
    """All that a server holds: its users with their rights, and its keys by the number of the database."""

    users: list[str]
    keys: list[tuple[int, str]]


def redis_state(server: RedisServer) -> RedisState:
    with server.client() as client:
        users = [line.removeprefix("user ") for line in _texts(client.call("ACL", "LIST"))]
        keys = []
        for database in range(DATABASES):
            client.call("SELECT", str(database))
            keys += [(database, key) for key in _texts(client.call("KEYS", "*"))]
    return RedisState(users, sorted(keys))


def _texts(reply: Reply) -> list[str]:
    assert isinstance(reply, list)
    return sorted(map(str, reply))


class Trial:
    """One store and one server. backend and pattern: references of the Redis sample images."""

    def __init__(self, shim: Shim, server: RedisServer, backend: str, pattern: str) -> None:
        self._shim = shim
        self._server = server
        self._pattern = pattern
        configuration = {
            "host": server.host,
            "port": server.port,
            "password": server.password,
            "key_prefix": CLOUD,
            "manager": True,
        }
        done = self._call(
            "exec", backend, "configure", "--cloud", CLOUD, stdin=json.dumps(configuration).encode()
        )
        if done.code:
            raise Failure(f"configure: {done}")
        # What belongs to others looks much like what belongs to the instances.
        with server.client() as client:
            client.call("ACL", "SETUSER", f"{CLOUD}-0", "on", ">s3same", "~*", "+get")
            for database in range(DATABASES):
                client.call("SELECT", str(database))
                client.call("SET", f"{CLOUD}:0:key", "of somebody else")
        self._before = redis_state(server)

    def run(self, instances: int, processes: int) -> list[Life]:
        """Take that many instances through their lives, in that many processes at a time."""
        with ThreadPoolExecutor(processes) as pool:
            return list(pool.map(self._live, range(instances)))

    def anomalies(self, lives: list[Life]) -> Iterator[str]:
        """What went wrong, and what is left in Redis and in the store that should not be there, a sentence each."""
        yield from (life.fault for life in lives if life.fault)
        after = redis_state(self._server)
        for what, old, new in (
            ("user", self._before.users, after.users),
            ("key", self._before.keys, after.keys),
        ):
            yield from (f"Redis: the {what} {each} is left" for each in set(new) - set(old))
            yield from (f"Redis: the {what} {each} is lost" for each in set(old) - set(new))
        yield from self._left_in_store()
        yield from self._secrets_in_store([secret.encode() for life in lives for secret in life.secrets])

    def _left_in_store(self) -> Iterator[str]:
        for instance in json.loads(self._call("instances", "--json").out):
            yield f"store: the instance {instance} is left"
        for cloud in json.loads(self._call("clouds", "--json").out):
            if cloud["name"] != CLOUD or cloud["interactions"]:
                yield f"store: the cloud {cloud} is there"
        directory = os.path.join(self._shim.root, "instances")
        yield from (f"store: instances/{name} is left" for name in os.listdir(directory))
        yield from (f"store: {path} is left" for path in unfinished_work(self._shim.root))

    def _secrets_in_store(self, secrets: list[bytes]) -> Iterator[str]:
        for path, _, names in os.walk(self._shim.root):
            for name in names:
                file_path = os.path.join(path, name)
                if os.path.islink(file_path) or not os.path.isfile(file_path):
                    continue
                with open(file_path, "rb") as file:
                    content = file.read()
                if any(secret in content for secret in secrets):
                    yield f"store: {file_path} holds a password"

    def _live(self, number: int) -> Life:
        life = Life("", [], [])
        try:
            self._take_through(f"trial-{number}", number, life)
        except (Failure, RedisError, OSError) as error:
            return life._replace(fault=f"trial-{number}: {type(error).__name__}: {error}")
        return life

    def _take_through(self, instance: str, number: int, life: Life) -> None:
        inputs = json.dumps({"label": f"n{number}"}).encode()
        self._operate(life, "provision", instance, "--cloud", CLOUD, "--inputs", "-", stdin=inputs)
        first, second = (self._bind(life, instance, binding) for binding in ("one", "two"))
        self._use(first)
        self._use(second)
        self._operate(life, "unbind", instance, "--binding", "one")
        self._expect_no_login(first)
        self._use(second)
        if number % 4 != 0:
            self._operate(life, "unbind", instance, "--binding", "two")
        self._operate(life, "deprovision", instance)
        self._expect_no_login(second)

    def _bind(self, life: Life, instance: str, binding: str) -> dict[str, Any]:
        done = self._operate(life, "bind", instance, "--binding", binding, "--format", "json")
        credentials: dict[str, Any] = json.loads(done.out)
        life.secrets.append(credentials["password"])
        return credentials

    def _operate(
        self, life: Life, operation: str, instance: str, *options: str, stdin: bytes | None = None
    ) -> Result:
        start = time.monotonic()
        done = self._call("exec", self._pattern, operation, "--instance", instance, *options, stdin=stdin)
        life.seconds.append((operation, time.monotonic() - start))
        if done.code:
            raise Failure(f"{operation}: {done}")
        return done

    def _call(self, *arguments: str, stdin: bytes | None = None) -> Result:
        return self._shim.run(*arguments, stdin=stdin, timeout=TIMEOUT)

    def _use(self, credentials: dict[str, Any]) -> None:
        """Write below the prefix in two databases, and fail to read what belongs to somebody else."""
        with self._logged_in(credentials) as client:
            for database in ("0", "7"):
                client.call("SELECT", database)
                client.call("SET", f"{credentials['prefix']}{credentials['username']}", "value")
            try:
                client.call("GET", f"{CLOUD}:0:key")
            except RedisError as error:
                if "No permissions" not in str(error) and "NOPERM" not in str(error):
                    raise
            else:
                raise Failure(f"{credentials['username']} reads a key of somebody else")

    def _expect_no_login(self, credentials: dict[str, Any]) -> None:
        try:
            with self._logged_in(credentials):
                pass
        except RedisError as error:
            if "WRONGPASS" in str(error):
                return
            raise
        raise Failure(f"{credentials['username']} can log in after the end")

    @contextmanager
    def _logged_in(self, credentials: dict[str, Any]) -> Iterator[RedisClient]:
        with self._server.client(credentials["username"], credentials["password"]) as client:
            yield client
