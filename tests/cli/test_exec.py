"""`exec` through the installed program: registries, logins, warm runs, signals, and two users at the same time."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence

import pytest
import yaml

from accounts import Account
from installed import Shim, fresh_shim
from script_images import METADATA, ScriptImage
from servers import RegistryServer, RegistryWithToken

COLD_ONLY = {
    *("oras", "requests", "urllib3", "jsonschema", "tqdm", "zstandard", "yaml"),
    *(
        "argparse",
        "ctypes",
        "dataclasses",
        "enum",
        "importlib",
        "json",
        "re",
        "struct",
        "subprocess",
        "typing",
    ),
}


@pytest.fixture
def pushed(registry: RegistryServer, demo_image: str) -> str:
    return registry.push(demo_image, "latest", "demo-backend:1")


def test_a_whole_session_against_a_registry(shim: Shim, pushed: str) -> None:
    def run(*arguments: str, stdin: bytes | None = None) -> bytes:
        done = shim.run("exec", pushed, *arguments, stdin=stdin)
        assert done.code == 0, done
        return done.out

    assert yaml.safe_load(run("metadata"))["backend"] == "tweed/v1"
    run("configure", "--cloud", "prod", stdin=b"greeting: hello")
    run("check", "--cloud", "prod")
    environment = yaml.safe_load(run("setup", "--cloud", "prod", "--interaction", "shop"))
    assert json.loads(environment["DEMO_CONFIG"]) == {"greeting": "hello"}
    run("teardown", "--cloud", "prod", "--interaction", "shop")
    [listed] = json.loads(shim.run("images", "--json").out)
    assert listed["reference"] == pushed
    operations = [each["operation"] for each in json.loads(shim.run("logs", "--json").out)]
    assert operations == ["teardown", "setup", "check", "configure", "metadata"]


def test_a_login_is_kept_private_and_used(
    shim: Shim, registry_with_password: RegistryServer, demo_image: str
) -> None:
    server = registry_with_password
    image = server.push(demo_image, "latest", "demo-backend:1")
    env = {"DOCKER_CONFIG": os.path.dirname(shim.root)}
    refused = shim.run("exec", image, "metadata", env=env)
    assert refused.code == 125
    assert f"tweed-shim login {server.host}" in refused.err.decode()
    login = ("login", server.host, "--username", server.user, "--password-stdin")
    assert shim.run(*login, stdin=b"wrong\n", env=env).code == 125
    kept = os.path.join(env["DOCKER_CONFIG"], "config.json")
    assert not os.path.exists(kept), "a login that the registry refuses is not kept"
    assert shim.run(*login, stdin=f"{server.password}\n".encode(), env=env).code == 0
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert shim.run("exec", image, "metadata", env=env).code == 0
    assert shim.run("logout", server.host, env=env).code == 0
    assert shim.run("pull", image, env=env).code == 125


def test_a_credentials_file_that_the_user_cannot_read_is_ignored(
    shim: Shim, pushed: str, public_directory: str
) -> None:
    closed = os.path.join(public_directory, f"closed-to-{shim.account.kind}")
    os.mkdir(closed, 0o700)
    done = shim.run("pull", pushed, env={"XDG_RUNTIME_DIR": closed})
    assert done.code == 0, done


def test_a_pull_from_a_registry_with_tokens(
    shim: Shim, registry_with_token: RegistryWithToken, demo_image: str
) -> None:
    server = registry_with_token.registry
    image = server.push(demo_image, "latest", "demo-backend:1")
    env = {"REGISTRY_AUTH_FILE": os.path.join(os.path.dirname(shim.root), "auth.json")}
    login = ("login", server.host, "--username", server.user, "--password-stdin")
    assert shim.run(*login, stdin=server.password.encode(), env=env).code == 0
    assert shim.run("exec", image, "metadata", env=env).code == 0


def test_a_registry_with_a_private_authority(
    shim: Shim, registry_with_tls: RegistryServer, demo_image: str, public_directory: str
) -> None:
    image = registry_with_tls.push(demo_image, "latest", "demo-backend:1")
    refused = shim.run("exec", image, "metadata")
    assert refused.code == 125
    assert "--ca-file" in refused.err.decode()
    authority = os.path.join(public_directory, "authority.pem")
    shutil.copy(registry_with_tls.ca_file, authority)
    os.chmod(authority, 0o644)
    assert shim.run("pull", image, env={"SSL_CERT_FILE": authority}).code == 0
    assert shim.run("rm", image).code == 0
    assert shim.run("exec", image, "metadata", "--ca-file", authority).code == 0


def imported(trace: bytes) -> set[str]:
    """The top-level modules that `python -X importtime` names."""
    return {
        line.split(b"|")[-1].strip().decode().split(".")[0] for line in trace.splitlines() if b"|" in line
    }


def warm_setup(shim: Shim, image: str, wrapper: Sequence[str], env: Mapping[str, str]) -> set[str]:
    """Run a setup of a configured cloud; returns the top-level modules that it imported."""
    out, found = warm_exec(shim, (image, "setup"), wrapper, env)
    assert set(yaml.safe_load(out)) == {
        "DEMO_USERNAME",
        "DEMO_TOKEN",
        "DEMO_CONFIG",
        "DEMO_USER_FILE",
    }
    return found


def warm_exec(
    shim: Shim, arguments: Sequence[str], wrapper: Sequence[str], env: Mapping[str, str]
) -> tuple[bytes, set[str]]:
    """Run an operation; returns its stdout, and the top-level modules that it imported."""
    python = os.path.join(os.path.dirname(shim.program), "python")
    command = [python, "-X", "importtime", shim.program, "--root", shim.root, "exec", *arguments]
    done = subprocess.run(
        [*wrapper, *command],
        env=env,
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = imported(done.stderr)
    assert "tweed_shim" in found
    return done.stdout, found


def test_a_warm_run_needs_no_network_no_umoci_and_no_heavy_import(
    shim: Shim, pushed: str, public_directory: str
) -> None:
    assert shim.run("exec", pushed, "configure", stdin=b"{}").code == 0
    tools = os.path.join(public_directory, f"tools-{shim.account.kind}")
    os.mkdir(tools)
    # Only what a warm run may use is on this PATH; that umoci is really out of reach, a pull shows.
    os.symlink("/usr/sbin/runc", os.path.join(tools, "runc"))
    offline = {**shim.environment(), "PATH": tools, "http_proxy": "http://127.0.0.1:1", "no_proxy": ""}
    wrapper = ["/usr/bin/unshare", "--net"] if shim.account.kind == "root" else []
    assert warm_setup(shim, pushed, wrapper, offline) & COLD_ONLY == set()


def test_a_warm_run_of_a_local_image_needs_no_heavy_import(shim: Shim, demo_image: str) -> None:
    image = f"oci:{demo_image}"
    assert shim.run("exec", image, "configure", stdin=b"{}").code == 0
    assert warm_setup(shim, image, [], shim.environment()) & COLD_ONLY == set()


def test_the_end_of_a_binding_and_of_an_instance_needs_no_heavy_import(
    shim: Shim, demo_image: str, script_image: ScriptImage
) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA.replace('backend', 'pattern')};; bind) echo a: b;; esac"
    )
    assert shim.run("exec", f"oci:{demo_image}", "configure", stdin=b"{}").code == 0
    for operation in ("provision", "bind"):
        assert shim.run("exec", image, operation).code == 0
    for operation in ("unbind", "deprovision"):
        _, found = warm_exec(shim, (image, operation), [], shim.environment())
        assert found & COLD_ONLY == set(), operation


def test_root_and_another_user_run_the_same_image_at_the_same_time(
    accounts: dict[str, Account], program: str, script_image: ScriptImage, tmp_path: os.PathLike[str]
) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA};; configure) echo begun; sleep 1000;;"
        ' check) cat "$IN_CONFIG/c"; id -u;; esac'
    )
    with fresh_shim(accounts["root"], program) as root, fresh_shim(accounts["range"], program) as other:
        for shim in (root, other):
            assert shim.run("exec", image, "metadata").code == 0
        held = [hold(shim, image) for shim in (root, other)]
        assert all(process.stdout and process.stdout.readline() == b"begun\n" for process in held)
        for process in held:
            process.send_signal(signal.SIGTERM)
        for process in held:
            process.communicate()
            assert process.returncode == 128 + signal.SIGTERM


def hold(shim: Shim, image: str) -> subprocess.Popen[bytes]:
    path = os.path.join(os.path.dirname(shim.root), "c.json")
    with open(path, "w", encoding="ascii") as file:
        file.write("{}")
    os.chmod(path, 0o644)
    return shim.start("exec", image, "configure", "--config", path)


HANDLING = f"""
case $1 in metadata) {METADATA}; exit;; esac
count=0
for name in INT TERM HUP; do trap "count=\\$((count+1)); echo got $name" $name; done
mkfifo /tmp/never
echo ready
while [ $count -eq 0 ]; do sleep 1 & wait $!; done  # a signal just before the wait does not end it
echo got $count
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_container_once_and_ends_the_shim_with_its_number(
    shim: Shim, script_image: ScriptImage, number: signal.Signals
) -> None:
    image = script_image(HANDLING)
    assert shim.run("exec", image, "metadata").code == 0
    process = hold(shim, image)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    # As a terminal does: the whole process group gets it.
    os.killpg(process.pid, number)
    out, _ = process.communicate()
    assert out == f"got {number.name.removeprefix('SIG')}\ngot 1\n".encode()
    assert process.returncode == 128 + number


def test_a_timeout_exits_with_124(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA};; configure) sleep 1000;; esac")
    done = shim.run("exec", image, "configure", "--timeout", "0.5", stdin=b"{}")
    assert done.code == 124
    assert "took longer than 0.5 seconds" in done.err.decode()
    newest = json.loads(shim.run("logs", "--json").out)[0]
    assert (newest["state"], newest["exit_code"]) == ("timed out", 124)


def test_logs_print_the_output_of_the_image(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(
        f"case $1 in metadata) {METADATA};; configure) echo out; echo err >&2; exit 7;; esac"
    )
    done = shim.run("exec", image, "configure", stdin=b"{}")
    number = re.search(rb"logs (\d+)", done.err)
    assert number is not None
    assert shim.run("logs", number[1].decode()).out == b"out\nerr\n"
    newest = json.loads(shim.run("logs", "--json").out)[0]
    assert (newest["operation"], newest["exit_code"], newest["state"]) == ("configure", 7, "ended")


def test_spec_prints_a_configuration_and_runs_nothing(shim: Shim, demo_image: str) -> None:
    assert shim.run("pull", f"oci:{demo_image}").code == 0
    done = shim.run("spec", f"oci:{demo_image}", "setup")
    config = json.loads(done.out)
    assert config["process"]["args"] == ["/usr/bin/demo-backend", "setup"]
    destinations = {mount["destination"] for mount in config["mounts"]}
    assert {"/tweed/home", "/tweed/in", "/tweed/out"} <= destinations
    assert shim.run("logs", "--json").out.strip() == b"[]"


def test_the_shell_form_can_be_sourced(shim: Shim, demo_image: str) -> None:
    assert shim.run("exec", f"oci:{demo_image}", "configure", stdin=b"{}").code == 0
    done = shim.run("exec", f"oci:{demo_image}", "setup", "--format", "shell")
    sourced = subprocess.run(
        ["sh", "-c", 'eval "$1"; printf %s "$DEMO_USERNAME"', "sh", done.out.decode()],
        capture_output=True,
        check=True,
    )
    assert sourced.stdout
    assert sourced.stdout in done.out


def with_redirections(
    shim: Shim, redirections: str, *arguments: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [
        "bash",
        "-c",
        f'exec "$@" {redirections}',
        "bash",
        shim.program,
        "--root",
        shim.root,
        *arguments,
    ]
    return subprocess.run(
        command,
        env={**shim.environment(), **(env or {})},
        user=shim.account.uid,
        group=shim.account.gid,
        extra_groups=[],
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_stop_only_a_result(shim: Shim, demo_image: str, redirections: str) -> None:
    image = f"oci:{demo_image}"
    assert shim.run("exec", image, "configure", stdin=b"{}").code == 0
    for operation in ("metadata", "check", "setup", "teardown"):
        lost = ">&-" in redirections.split() and operation in ("metadata", "setup")
        done = with_redirections(shim, redirections, "exec", image, operation)
        assert done.returncode == (125 if lost else 0), (operation, done)


def test_a_result_that_cannot_be_written_is_reported(shim: Shim, demo_image: str) -> None:
    image = f"oci:{demo_image}"
    assert shim.run("exec", image, "configure", stdin=b"{}").code == 0
    for redirection, why in (
        (">/dev/full", "the output cannot be written (No space left on device)"),
        (">&-", "the output cannot be written: stdout is closed"),
    ):
        done = with_redirections(shim, redirection, "exec", image, "setup")
        assert done.returncode == 125
        [line] = [line for line in done.stderr.decode().splitlines() if line.startswith("tweed-shim: ")]
        assert why in line
        assert "interaction 'default' is set up all the same" in line
        hint = line.partition("'tweed-shim environment ")[2].partition("'")[0].split()
        assert b"DEMO_USERNAME" in shim.run("environment", *hint).out
        assert shim.run("exec", image, "teardown").code == 0


def test_an_environment_without_a_reader_is_reported(
    accounts: dict[str, Account], program: str, demo_image: str
) -> None:
    image = f"oci:{demo_image}"
    read, write = os.pipe()
    os.close(read)
    with fresh_shim(accounts["root"], program) as shim:
        assert shim.run("exec", image, "configure", stdin=b"{}").code == 0
        command = shim.command("exec", image, "setup")
        with subprocess.Popen(
            command, stdout=write, stderr=subprocess.PIPE, env=shim.environment()
        ) as process:
            os.close(write)
            _, said = process.communicate()
        assert process.returncode == 125
        assert "the reader of the output has gone; interaction 'default' is set up" in said.decode()
        assert b"DEMO_USERNAME" in shim.run("environment").out


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("ulimit -n 12", "allow more of them ('ulimit -n')"),
        (
            "mkdir gone && cd gone && rmdir ../gone",
            "the working directory no longer exists; change to another one",
        ),
    ],
)
def test_errors_of_the_process_are_not_reported_as_errors_of_the_store(
    shim: Shim, demo_image: str, before: str, said: str
) -> None:
    shim.run("pull", f"oci:{demo_image}")
    words = ["pull", "oci:image"] if "gone" in before else ["exec", f"oci:{demo_image}", "metadata"]
    command = ["bash", "-c", f'{before}; "$@"', "bash", shim.program, "--root", shim.root, *words]
    about = shim.account
    done = subprocess.run(
        command,
        env=shim.environment(),
        user=about.uid,
        group=about.gid,
        extra_groups=[],
        cwd=os.path.dirname(shim.root),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 125
    assert said in done.stderr.decode()


@pytest.mark.parametrize("variables", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_errors_of_stdout_are_not_reported_as_errors_of_the_store(
    shim: Shim, demo_image: str, variables: dict[str, str]
) -> None:
    image = f"oci:{demo_image}"
    for words in (["spec", image, "check"], ["exec", image, "metadata"], ["images"], ["--help"]):
        done = with_redirections(shim, ">/dev/full", *words, env=variables)
        assert done.returncode == 125
        assert done.stderr.decode().splitlines()[-1] == (
            "tweed-shim: the output cannot be written (No space left on device); send it where there is room"
        ), words


def test_a_run_whose_shim_was_killed_is_listed_as_such(shim: Shim, script_image: ScriptImage) -> None:
    image = script_image(f"case $1 in metadata) {METADATA};; configure) echo begun; sleep 1000;; esac")
    assert shim.run("exec", image, "metadata").code == 0
    process = hold(shim, image)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    assert json.loads(shim.run("logs", "--json").out)[0]["state"] == "running"
    process.kill()
    process.communicate()
    assert json.loads(shim.run("logs", "--json").out)[0]["state"] == "killed"
    assert shim.run("exec", image, "metadata", "--pull", "always").code == 0, "it sweeps what was left"
    assert shim.run("exec", image, "configure", "--timeout", "0.1", stdin=b"{}").code == 124


def test_only_the_right_image_tears_an_interaction_down(
    shim: Shim, registry: RegistryServer, demo_image: str, redis_image: str
) -> None:
    right = registry.push(demo_image, "latest", "demo-backend:1")
    newer = registry.push(demo_image, "latest", "demo-backend:2")
    wrong = registry.push(redis_image, "latest", "redis-backend:1")
    assert shim.run("exec", right, "configure", stdin=b"{}").code == 0
    assert shim.run("exec", right, "setup").code == 0
    done = shim.run("exec", wrong, "teardown")
    assert done.code == 125
    assert f"was set up by {right}, not by {wrong}; tear it down with {right}" in done.err.decode()
    assert json.loads(shim.run("clouds", "--json").out)[0]["interactions"] == ["default"]
    assert shim.run("exec", newer, "teardown").code == 0
