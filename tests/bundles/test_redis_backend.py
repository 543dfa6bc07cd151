"""The Redis sample image against a real Redis, through the installed program, as each kind of caller."""

import json
import os
import socket
from urllib.parse import urlsplit

import pytest
import yaml

from installed import Result, Shim
from redis_servers import RedisError, RedisServer, running_redis


def run(shim: Shim, image: str, operation: str, *options: str, stdin: bytes | None = None) -> Result:
    return shim.run("exec", f"oci:{image}", operation, "--network", "host", *options, stdin=stdin)


def configure(shim: Shim, image: str, **properties: str | int | bool) -> None:
    done = run(shim, image, "configure", "--config", "-", stdin=json.dumps(properties).encode())
    assert done.code == 0, done


def configured_for(shim: Shim, image: str, server: RedisServer, **properties: str | bool) -> None:
    configure(shim, image, host=server.host, port=server.port, password=server.password, **properties)


def environment_of(shim: Shim, image: str) -> dict[str, str]:
    done = run(shim, image, "setup")
    assert done.code == 0, done
    environment: dict[str, str] = yaml.safe_load(done.out)
    assert environment["REDIS_PASSWORD"].encode() not in done.err
    return environment


def test_metadata_names_the_inputs(shim: Shim, redis_image: str) -> None:
    done = shim.run("exec", f"oci:{redis_image}", "metadata")
    assert done.code == 0, done
    properties = yaml.safe_load(done.out)["inputs"]["properties"]
    assert set(properties) == {"host", "port", "username", "password", "key_prefix", "manager"}


def test_check_logs_in_with_a_password_that_is_hard_to_quote(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    configured_for(shim, redis_image, redis_server)
    done = run(shim, redis_image, "check")
    assert done.code == 0, done
    assert b"answers" in done.out


def test_the_emitted_user_works_within_its_prefix_and_nowhere_else(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    configured_for(shim, redis_image, redis_server, key_prefix=f"team-{shim.account.kind}")
    environment = environment_of(shim, redis_image)
    username, prefix = environment["REDIS_USERNAME"], environment["REDIS_KEY_PREFIX"]
    assert prefix.startswith(f"team-{shim.account.kind}:")
    with redis_server.client(username, environment["REDIS_PASSWORD"]) as client:
        assert client.call("PING") == "PONG"
        assert client.call("SET", f"{prefix}key", "value") == "OK"
        assert client.call("GET", f"{prefix}key") == "value"
        for forbidden in (
            ["SET", "other", "value"],
            ["GET", f"x{prefix}key"],
            ["EVAL", "return redis.call('GET', 'other')", "0"],
            ["KEYS", "*"],
            ["SCAN", "0"],
            ["CLIENT", "TRACKING", "ON", "BCAST"],
            ["PUBLISH", "other", "message"],
            ["FLUSHALL"],
            ["FUNCTION", "FLUSH"],
            ["CONFIG", "GET", "*"],
            ["ACL", "SETUSER", username, "allkeys"],
        ):
            with pytest.raises(RedisError, match=r"NOPERM|can't access|No permissions"):
                client.call(*forbidden)
    assert run(shim, redis_image, "teardown").code == 0


def test_the_user_of_a_manager_s_interaction_manages_users_and_touches_no_keys(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    configured_for(shim, redis_image, redis_server, key_prefix=f"team-{shim.account.kind}", manager=True)
    before = redis_server.users()
    environment = environment_of(shim, redis_image)
    assert (environment["REDIS_MANAGER"], environment["REDIS_KEY_PREFIX"]) == (
        "true",
        f"team-{shim.account.kind}:",
    )
    with redis_server.client(environment["REDIS_USERNAME"], environment["REDIS_PASSWORD"]) as client:
        other = f"other-{shim.account.kind}"
        assert client.call("ACL", "SETUSER", other, "on", ">s3same") == "OK"
        assert client.call("ACL", "DELUSER", other) == 1
        for forbidden in (["GET", "key"], ["SCAN", "0"], ["FLUSHALL"], ["CONFIG", "GET", "*"]):
            with pytest.raises(RedisError, match="NOPERM"):
                client.call(*forbidden)
    assert run(shim, redis_image, "teardown").code == 0
    assert redis_server.users() == before


def test_an_ordinary_interaction_does_not_claim_to_manage_users(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    configured_for(shim, redis_image, redis_server, manager=False)
    assert "REDIS_MANAGER" not in environment_of(shim, redis_image)
    assert run(shim, redis_image, "teardown").code == 0


def test_the_url_and_its_parts_agree(shim: Shim, redis_image: str, redis_server: RedisServer) -> None:
    configured_for(shim, redis_image, redis_server)
    environment = environment_of(shim, redis_image)
    url = urlsplit(environment["REDIS_URL"])
    assert (url.scheme, url.hostname, str(url.port), url.username, url.password) == (
        "redis",
        *(environment[f"REDIS_{name}"] for name in ("HOST", "PORT", "USERNAME", "PASSWORD")),
    )
    assert run(shim, redis_image, "teardown").code == 0


def test_teardown_deletes_the_user_and_nobody_else(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    configured_for(shim, redis_image, redis_server)
    before = redis_server.users()
    environment = environment_of(shim, redis_image)
    assert set(redis_server.users()) == {*before, environment["REDIS_USERNAME"]}
    done = run(shim, redis_image, "teardown")
    assert done.code == 0, done
    assert redis_server.users() == before
    with (
        pytest.raises(RedisError, match="WRONGPASS"),
        redis_server.client(environment["REDIS_USERNAME"], environment["REDIS_PASSWORD"]),
    ):
        pass


def test_teardown_of_a_user_who_is_gone_succeeds(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    configured_for(shim, redis_image, redis_server)
    environment = environment_of(shim, redis_image)
    with redis_server.client() as client:
        assert client.call("ACL", "DELUSER", environment["REDIS_USERNAME"]) == 1
    done = run(shim, redis_image, "teardown")
    assert (done.code, b"gone already" in done.out) == (0, True), done


def test_users_survive_a_restart_where_redis_keeps_them_in_a_file(
    shim: Shim, redis_image: str, tmp_path: os.PathLike[str]
) -> None:
    acl_file = os.path.join(tmp_path, "users.acl")

    def saved(username: str) -> bool:
        with open(acl_file, encoding="utf-8") as file:
            return f"user {username} " in file.read()

    with running_redis(os.fspath(tmp_path), acl_file=acl_file) as server:
        configured_for(shim, redis_image, server, username="default")
        username = environment_of(shim, redis_image)["REDIS_USERNAME"]
        assert saved(username)
        assert run(shim, redis_image, "teardown").code == 0
        assert not saved(username)


@pytest.mark.parametrize("operation", ["check", "setup"])
def test_a_wrong_password_fails_and_is_not_repeated(
    shim: Shim, redis_image: str, redis_server: RedisServer, operation: str
) -> None:
    before = redis_server.users()
    configure(shim, redis_image, host=redis_server.host, port=redis_server.port, password="s3same 'open'")
    done = run(shim, redis_image, operation)
    assert done.code == 1, done
    assert b"refuses AUTH: WRONGPASS" in done.out + done.err
    assert b"s3same" not in done.out + done.err
    assert redis_server.users() == before


def test_a_user_who_may_not_manage_users_fails_the_check(
    shim: Shim, redis_image: str, redis_server: RedisServer
) -> None:
    name = f"plain-{shim.account.kind}"
    with redis_server.client() as client:
        client.call("ACL", "SETUSER", name, "on", ">plain", "+ping")
    configure(
        shim, redis_image, host=redis_server.host, port=redis_server.port, username=name, password="plain"
    )
    done = run(shim, redis_image, "check")
    with redis_server.client() as client:
        client.call("ACL", "DELUSER", name)
    assert done.code == 1, done
    assert b"refuses ACL DELUSER: NOPERM" in done.out


def test_a_server_that_is_not_there_is_named(shim: Shim, redis_image: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        # Bound but not listening: connections are refused, and nobody else gets the port.
        port = probe.getsockname()[1]
        configure(shim, redis_image, host="127.0.0.1", port=port)
        done = run(shim, redis_image, "check")
    assert done.code == 1, done
    assert f"Redis at 127.0.0.1 port {port}".encode() in done.out


def test_something_else_than_redis_is_not_believed(shim: Shim, redis_image: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        configure(shim, redis_image, host="127.0.0.1", port=port, password="s3same")
        process = shim.start("exec", f"oci:{redis_image}", "check", "--network", "host")
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"220 mail.example s3same\r\n")
            out, err = process.communicate(timeout=60)
    assert process.returncode == 1, (out, err)
    assert b"that Redis does not give" in out
    assert b"s3same" not in out + err
