import json
import os
import subprocess

import pytest

from servers import RegistryServer, RegistryWithToken, faulty_proxy
from token_servers import PASSWORD, USER
from tweed_shim.errors import BadReference, ConfigError, RegistryError
from tweed_shim.http.connect_options import ConnectOptions
from tweed_shim.http.retries import RetryPolicy
from tweed_shim.image.credential_files import Credentials
from tweed_shim.image.login import login, logout
from tweed_shim.image.stored_credentials import find

SHORT = RetryPolicy(attempts=2, first_pause=0.001, longest_pause=0.002)


@pytest.fixture
def environ(tmp_path: os.PathLike[str]) -> dict[str, str]:
    home = os.fspath(tmp_path)
    return {"HOME": home, "XDG_RUNTIME_DIR": home, "PATH": os.environ["PATH"]}


def test_an_accepted_password_is_stored(
    environ: dict[str, str], registry_with_password: RegistryServer
) -> None:
    host = registry_with_password.host
    path = login(f"http://{host}/", USER, PASSWORD, environ=environ)
    assert path == os.path.join(environ["HOME"], ".docker", "config.json")
    assert find(host, "any", environ) == Credentials(USER, PASSWORD)


def test_a_password_is_checked_with_the_token_server(
    environ: dict[str, str], registry_with_token: RegistryWithToken
) -> None:
    host = registry_with_token.registry.host
    login(host, USER, PASSWORD, environ=environ)
    assert find(host, "any", environ) == Credentials(USER, PASSWORD)


@pytest.mark.parametrize("kind", ["password", "token"])
def test_a_refused_password_is_not_stored(
    environ: dict[str, str],
    registry_with_password: RegistryServer,
    registry_with_token: RegistryWithToken,
    kind: str,
) -> None:
    host = registry_with_password.host if kind == "password" else registry_with_token.registry.host
    with pytest.raises(RegistryError, match="refuses a login to these credentials") as refusal:
        login(host, USER, "hunter2", environ=environ)
    assert "hunter2" not in str(refusal.value)
    assert os.listdir(environ["HOME"]) == []


def test_a_login_over_tls_verifies_the_certificate(
    environ: dict[str, str], registry_with_tls: RegistryServer
) -> None:
    host = registry_with_tls.host
    with pytest.raises(RegistryError, match="is not trusted"):
        login(host, USER, PASSWORD, environ=environ, retry_policy=SHORT)
    assert os.listdir(environ["HOME"]) == []
    login(host, USER, PASSWORD, connect=ConnectOptions(ca_file=registry_with_tls.ca_file), environ=environ)
    assert find(host, "any", environ) == Credentials(USER, PASSWORD)


def test_a_registry_that_is_not_there_leaves_nothing(environ: dict[str, str]) -> None:
    with faulty_proxy("") as proxy:
        host = proxy.host
    with pytest.raises(RegistryError, match="nothing answers"):
        login(host, USER, PASSWORD, environ=environ, retry_policy=SHORT)
    assert os.listdir(environ["HOME"]) == []


@pytest.mark.parametrize(("user", "password"), [("", "p"), ("user", ""), ("us:er", "p")])
def test_a_malformed_login_is_refused(environ: dict[str, str], user: str, password: str) -> None:
    with pytest.raises(ConfigError, match="needs a name"):
        login("r.example", user, password, environ=environ)


def test_a_malformed_registry_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(BadReference, match=r"'r\.example/app'"):
        login("r.example/app", USER, PASSWORD, environ=environ)


def test_a_logout_says_whether_there_was_something(
    environ: dict[str, str], registry_with_password: RegistryServer
) -> None:
    host = registry_with_password.host
    login(host, USER, PASSWORD, environ=environ)
    assert logout(host, environ)
    assert find(host, "any", environ) is None
    assert not logout(host, environ)


def test_skopeo_and_the_shim_read_each_others_logins(
    environ: dict[str, str], registry_with_password: RegistryServer
) -> None:
    host = registry_with_password.host
    environ["REGISTRY_AUTH_FILE"] = os.path.join(environ["HOME"], "auth.json")
    subprocess.run(
        ["skopeo", "login", "--tls-verify=false", "-u", USER, "--password-stdin", host],
        input=PASSWORD.encode(),
        env=environ,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert find(host, "any", environ) == Credentials(USER, PASSWORD)
    assert logout(host, environ)
    login(host, USER, PASSWORD, environ=environ)
    said = subprocess.run(
        ["skopeo", "login", "--get-login", host], env=environ, check=True, stdout=subprocess.PIPE
    )
    assert said.stdout.decode().strip() == USER
    with open(environ["REGISTRY_AUTH_FILE"], encoding="utf-8") as file:
        assert list(json.load(file)["auths"]) == [host]
