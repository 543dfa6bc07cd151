"""The Redis sample pattern against a real Redis, through the installed program."""

import json
import os
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from accounts import AS_ONE_USER
from installed import Result, Shim, done
from redis_servers import RedisError, RedisServer, running_redis


def run(shim: Shim, image: str, operation: str, *options: str, stdin: bytes | None = None) -> Result:
    return shim.run("exec", f"oci:{image}", operation, *options, stdin=stdin)


def own(shim: Shim) -> str:
    """What the names of all users and keys of this test begin with."""
    return os.path.basename(os.path.dirname(shim.root))


def configure(shim: Shim, image: str, server: RedisServer, **more: Any) -> None:
    """Make the cloud prod, or configure it anew."""
    configuration = {
        "host": server.host,
        "port": server.port,
        "password": server.password,
        "key_prefix": own(shim),
        "manager": True,
        **more,
    }
    options = ("--cloud", "prod", "--replace")
    done(run(shim, image, "configure", *options, stdin=json.dumps(configuration).encode()))


def provision(shim: Shim, image: str, instance: str, stdin: bytes | None = None) -> Result:
    options = ("--cloud", "prod", "--instance", instance)
    return run(shim, image, "provision", *options, *(("--inputs", "-") if stdin else ()), stdin=stdin)


def bind(shim: Shim, image: str, instance: str, binding: str) -> dict[str, Any]:
    bound = done(run(shim, image, "bind", "--instance", instance, "--binding", binding))
    credentials: dict[str, Any] = yaml.safe_load(bound.out)
    assert credentials["password"].encode() not in bound.err
    return credentials


def own_users(server: RedisServer, shim: Shim) -> list[str]:
    return [str(name) for name in server.users() if str(name).startswith(f"{own(shim)}-")]


def own_keys(server: RedisServer, shim: Shim) -> dict[int, list[str]]:
    """The keys of this caller's instances, by the number of the database."""
    found = {}
    with server.client() as client:
        for database in range(16):
            client.call("SELECT", str(database))
            keys = client.call("KEYS", f"{own(shim)}:*")
            assert isinstance(keys, list)
            if keys:
                found[database] = sorted(map(str, keys))
    return found


@pytest.fixture
def prod(shim: Shim, redis_image: str, redis_server: RedisServer) -> RedisServer:
    """The server that the cloud prod is about."""
    configure(shim, redis_image, redis_server)
    return redis_server


@AS_ONE_USER
def test_metadata_names_the_inputs_and_the_files(shim: Shim, redis_pattern: str) -> None:
    metadata = yaml.safe_load(done(run(shim, redis_pattern, "metadata")).out)
    assert set(metadata["inputs"]["properties"]) == {"label"}
    assert [file["filename"] for file in metadata["files"]] == ["key-space.yml"]


def test_a_bound_user_works_within_the_prefix_and_nowhere_else(
    shim: Shim, redis_pattern: str, prod: RedisServer
) -> None:
    done(provision(shim, redis_pattern, "shop", b'{"label": "shop"}'))
    done(provision(shim, redis_pattern, "other"))
    credentials, neighbour = (bind(shim, redis_pattern, name, "web") for name in ("shop", "other"))
    prefix = credentials["prefix"]
    assert prefix.startswith(f"{own(shim)}:")
    assert prefix.endswith("-shop:")
    with prod.client(credentials["username"], credentials["password"]) as client:
        assert client.call("SET", f"{prefix}key", "value") == "OK"
        assert client.call("GET", f"{prefix}key") == "value"
        for forbidden in (
            ["GET", "key"],
            ["SET", f"{neighbour['prefix']}key", "value"],
            ["EVAL", "return redis.call('GET', 'key')", "0"],
            ["SCAN", "0"],
            ["KEYS", "*"],
            ["PUBLISH", f"{neighbour['prefix']}channel", "message"],
            ["ACL", "SETUSER", credentials["username"], "allkeys"],
            ["CONFIG", "GET", "*"],
            ["FLUSHALL"],
        ):
            with pytest.raises(RedisError, match=r"NOPERM|can't access|No permissions"):
                client.call(*forbidden)
    for name in ("shop", "other"):
        done(run(shim, redis_pattern, "deprovision", "--instance", name))
    assert (own_users(prod, shim), own_keys(prod, shim)) == ([], {})


@AS_ONE_USER
def test_the_administrator_is_limited_to_the_prefix_too(
    shim: Shim, redis_pattern: str, prod: RedisServer
) -> None:
    done(provision(shim, redis_pattern, "shop"))
    described = yaml.safe_load(done(shim.run("instances", "files", "shop", "key-space.yml")).out)
    credstore = os.path.join(shim.root, "instances", "shop", "credstore")
    with open(os.path.join(credstore, "instance"), encoding="ascii") as file:
        name, prefix, secret = file.read().splitlines()
    assert (f"{name}-admin", prefix) == (described["administrator"], described["prefix"])
    with prod.client(described["administrator"], secret) as client:
        assert client.call("SET", f"{prefix}key", "value") == "OK"
        for forbidden in (["SET", "key", "value"], ["ACL", "LIST"], ["FLUSHALL"]):
            with pytest.raises(RedisError, match=r"NOPERM|No permissions"):
                client.call(*forbidden)
    done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))


@AS_ONE_USER
def test_the_uri_and_its_parts_agree(shim: Shim, redis_pattern: str, prod: RedisServer) -> None:
    done(provision(shim, redis_pattern, "shop"))
    credentials = bind(shim, redis_pattern, "shop", "web")
    url = urlsplit(credentials["uri"])
    assert (url.scheme, url.hostname, url.port, url.username, url.password) == (
        "redis",
        *(credentials[name] for name in ("host", "port", "username", "password")),
    )
    done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))


@AS_ONE_USER
def test_unbind_deletes_one_user_and_succeeds_where_that_is_gone(
    shim: Shim, redis_pattern: str, prod: RedisServer
) -> None:
    done(provision(shim, redis_pattern, "shop"))
    before = own_users(prod, shim)
    first, second = (bind(shim, redis_pattern, "shop", name)["username"] for name in ("one", "two"))
    done(run(shim, redis_pattern, "unbind", "--instance", "shop", "--binding", "one"))
    assert sorted(own_users(prod, shim)) == sorted([*before, second])
    with prod.client() as client:
        assert client.call("ACL", "DELUSER", second) == 1
    gone = done(run(shim, redis_pattern, "unbind", "--instance", "shop", "--binding", "two"))
    assert f"The user {second} was gone already.".encode() in gone.out
    assert first not in own_users(prod, shim)
    done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))


def test_deprovision_leaves_no_key_and_no_user_but_those_of_others(
    shim: Shim, redis_pattern: str, prod: RedisServer
) -> None:
    done(provision(shim, redis_pattern, "shop"))
    credentials = bind(shim, redis_pattern, "shop", "web")
    prefix = credentials["prefix"]
    with prod.client(credentials["username"], credentials["password"]) as client:
        for number in range(2500):  # more than one step deletes
            client.call("SET", f"{prefix}{number}", "value")
        client.call("SET", f"{prefix}two\r\nlines * [é] ", "value")
        client.call("SELECT", "3")
        client.call("RPUSH", f"{prefix}list", "value")
    other = f"{prefix.removesuffix(':')}x:key"
    with prod.client() as client:
        client.call("SET", other, "value")
    gone = done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))
    assert b"Deleted 2502 keys below" in gone.out
    assert own_users(prod, shim) == []
    assert own_keys(prod, shim) == {0: [other]}
    with prod.client() as client:
        client.call("DEL", other)
    assert json.loads(done(shim.run("instances", "--json")).out) == []


@AS_ONE_USER
def test_unbind_of_a_bind_that_has_failed_succeeds(
    shim: Shim, redis_image: str, redis_pattern: str, prod: RedisServer
) -> None:
    done(provision(shim, redis_pattern, "shop"))
    configure(shim, redis_image, prod, manager=False)
    assert run(shim, redis_pattern, "bind", "--instance", "shop", "--binding", "web").code == 1
    configure(shim, redis_image, prod)
    ended = done(run(shim, redis_pattern, "unbind", "--instance", "shop", "--binding", "web"))
    assert b"Bind has given no credentials." in ended.out
    done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))
    assert own_users(prod, shim) == []


@AS_ONE_USER
def test_deprovision_works_where_redis_has_forgotten_its_users(
    shim: Shim, redis_pattern: str, prod: RedisServer
) -> None:
    done(provision(shim, redis_pattern, "shop"))
    credentials = bind(shim, redis_pattern, "shop", "web")
    with prod.client(credentials["username"], credentials["password"]) as client:
        client.call("SET", f"{credentials['prefix']}key", "value")
    with prod.client() as client:
        client.call("ACL", "DELUSER", *own_users(prod, shim))
    done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))
    assert (own_users(prod, shim), own_keys(prod, shim)) == ([], {})


@AS_ONE_USER
def test_users_are_saved_where_redis_keeps_them_in_a_file(
    shim: Shim, redis_image: str, redis_pattern: str, tmp_path: os.PathLike[str]
) -> None:
    acl_file = os.path.join(tmp_path, "users.acl")

    def saved() -> list[str]:
        with open(acl_file, encoding="utf-8") as file:
            return [line.split()[1] for line in file if not line.startswith("user default ")]

    with running_redis(os.fspath(tmp_path), acl_file=acl_file) as server:
        configure(shim, redis_image, server, username="default")
        done(provision(shim, redis_pattern, "shop"))
        credentials = bind(shim, redis_pattern, "shop", "web")
        assert credentials["username"] in saved()
        done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))
        assert saved() == []


@AS_ONE_USER
def test_a_cloud_that_manages_no_users_is_named(
    shim: Shim, redis_image: str, redis_pattern: str, redis_server: RedisServer
) -> None:
    configure(shim, redis_image, redis_server, manager=False)
    failed = provision(shim, redis_pattern, "shop")
    assert failed.code == 1, failed
    assert b'configure redis-backend with "manager": true' in failed.out
    ended = done(run(shim, redis_pattern, "deprovision", "--instance", "shop"))
    assert b"Provision has made nothing." in ended.out
    assert own_users(redis_server, shim) == []
