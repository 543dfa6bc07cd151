"""What is read from outside is read up to its bound and no further: a device without end ends in one sentence."""

import base64
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tweed_shim.base import files
from tweed_shim.errors import ConfigError

PROGRAM = "import sys; from tweed_shim.cli.main import main; sys.exit(main())"
MEMORY = 400 << 20
ENDLESS = "/dev/zero"


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))


def run(
    directory: Path, *arguments: str, stdin: str = os.devnull, env: dict[str, str] | None = None
) -> tuple[int, str]:
    with open(stdin, "rb") as source:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "--root", f"{directory}/store", *arguments],
            stdin=source,
            capture_output=True,
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(directory),
                "PYTHONPATH": ":".join(sys.path),
                **(env or {}),
            },
            preexec_fn=limited,
            timeout=120,
            check=False,
        )
    return done.returncode, done.stderr.decode()


BOOTSTRAP = ("toi", "bootstrap", "install", "x//a.example/b:1")
# The command line, whether stdin is the endless file, and what is said.
CASES = {
    "configuration": (("exec", "x", "configure", "--config", ENDLESS), "/dev/zero is larger than 4 MiB"),
    "configuration on stdin": (
        ("exec", "x", "configure", "--config", "-"),
        "the configuration on stdin is larger than 4 MiB",
    ),
    "seccomp profile": (("exec", "x", "check", "--seccomp", ENDLESS), "larger than 1 MiB"),
    "parameters": ((*BOOTSTRAP, "-p", ENDLESS), "/dev/zero is larger than 4 MiB"),
    "credentials on stdin": ((*BOOTSTRAP, "-c", "-"), "stdin is larger than 4 MiB"),
    "OCM configuration": (
        ("ocm", "get", "x//a.example/b:1", "--ocmconfig", "vast"),
        "vast is larger than 4 MiB",
    ),
    "archive of components": (("ocm", "get", f"{ENDLESS}//a.example/b:1"), "neither a directory nor a file"),
    "image archive": (("exec", f"oci-archive:{ENDLESS}", "metadata"), "is not a file"),
    "image layout": (("exec", f"oci:{ENDLESS}", "metadata"), "is not a directory; name a layout that is"),
    "authorities": (("pull", "localhost:1/x:1", "--ca-file", ENDLESS), "holds no certificate"),
    "password": (
        ("login", "localhost:1", "-u", "me", "--password-stdin"),
        "the password on stdin is larger than 1 MiB",
    ),
    "template": (("spiff", "merge", ENDLESS), "/dev/zero is larger than 32 MiB"),
    "template on stdin": (("spiff", "merge", "-"), "the document on stdin is larger than 32 MiB"),
    "documents to compare": (("spiff", "diff", ENDLESS, "template"), "/dev/zero is larger than 32 MiB"),
    "document to convert": (("spiff", "convert", ENDLESS), "/dev/zero is larger than 32 MiB"),
    "document to encrypt": (("spiff", "encrypt", ENDLESS), "/dev/zero is larger than 32 MiB"),
    "stub": (("spiff", "merge", "template", ENDLESS), "/dev/zero is larger than 32 MiB"),
    "bindings": (("spiff", "merge", "template", "--bindings", ENDLESS), "/dev/zero is larger than 32 MiB"),
    "state": (("spiff", "merge", "template", "--state", ENDLESS), "/dev/zero is larger than 32 MiB"),
    "tag": (("spiff", "merge", "template", "--tag", f"t:{ENDLESS}"), "/dev/zero is larger than 32 MiB"),
    "file of a template": (("spiff", "merge", "reading"), "/dev/zero is larger than 32 MiB"),
    "command of a template": (("spiff", "merge", "running"), "wrote more than 32 MiB"),
    "command with input": (("spiff", "merge", "piping"), "wrote more than 32 MiB"),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "template").write_text("a: 1\n", encoding="utf-8")
    # For what a device is not taken as, because everybody can write to it.
    with open(os.open(tmp_path / "vast", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as vast:
        vast.truncate(1 << 40)
    (tmp_path / "reading").write_text(
        f"a: (( read('{ENDLESS}', 'text') ))\n".replace("'", '"'), encoding="utf-8"
    )
    (tmp_path / "running").write_text(f'a: (( exec("cat", "{ENDLESS}") ))\n', encoding="utf-8")
    (tmp_path / "piping").write_text(f'a: (( pipe("x", "cat", "-", "{ENDLESS}") ))\n', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_a_file_without_end_is_refused_with_its_limit(case: str, directory: Path) -> None:
    arguments, said = CASES[case]
    stdin = ENDLESS if "-" in arguments or "--password-stdin" in arguments else os.devnull
    code, err = run(directory, *arguments, stdin=stdin, env={"SPIFF_ENCRYPTION_KEY": "k"})
    assert said in err, err
    assert code in (1, 125)
    assert "Traceback" not in err
    if "unresolved nodes" not in err:
        assert err.count("\n") == 1


def test_a_credentials_file_without_end_is_refused_with_its_limit(directory: Path) -> None:
    docker = directory / "docker"
    docker.mkdir()
    (directory / "vast").rename(docker / "config.json")
    code, err = run(directory, "logout", "localhost:1", env={"DOCKER_CONFIG": str(docker)})
    assert code == 125
    assert "the credentials file" in err
    assert "is larger than 4 MiB" in err


def test_what_is_as_large_as_its_bound_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    with open(path, "rb") as file:
        assert len(files.read_bounded(file, 100, "it")) == 100
    with open(path, "rb") as file, pytest.raises(ConfigError, match="it is larger than 0 MiB"):
        files.read_bounded(file, 99, "it")


def test_a_credentials_file_of_usual_size_is_read(directory: Path) -> None:
    auth = base64.b64encode(b"me:pw").decode()
    (directory / "config.json").write_text(
        json.dumps({"auths": {"localhost:1": {"auth": auth}}}), encoding="utf-8"
    )
    code, err = run(directory, "logout", "localhost:1", env={"DOCKER_CONFIG": str(directory)})
    assert code == 0, err
    assert auth not in (directory / "config.json").read_text(encoding="utf-8")
