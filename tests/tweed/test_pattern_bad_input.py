"""Bad input for patterns: one sentence, exit code 125, and nothing has changed."""

import json
import os
from pathlib import Path

import pytest

from accounts import AS_ONE_USER
from installed import Shim, done, refusal
from pattern_images import PATTERN_METADATA, Service, backend_image, listing, pattern_image
from script_images import ScriptImage

SCHEMA = "inputs: {type: object, properties: {size: {type: integer}, name: {type: string}}, required: [size]}"


@pytest.fixture
def service(shim: Shim, script_image: ScriptImage) -> Service:
    """A pattern with the instance `there` and its binding `web`, in a configured cloud."""
    metadata = f'{PATTERN_METADATA}; echo "{SCHEMA}"'
    service = Service(
        shim,
        pattern_image(script_image, metadata, user="2000:2000"),
        backend_image(script_image, user="1000:1000"),
    )
    service.configure()
    done(service.provision("--instance", "there", size=1))
    done(service.run("bind", "--instance", "there", "--binding", "web"))
    return service


def unchanged(service: Service, *words: str, stdin: bytes | None = None, code: int = 125) -> str:
    """Check that a command is refused, runs nothing and changes nothing; return its sentence without the beginning."""
    runs = os.path.join(service.shim.root, "runs")
    before, started = listing(service.shim.root), sorted(os.listdir(runs))
    result = service.shim.run(*words, stdin=stdin)
    assert (result.code, result.out) == (code, b""), result
    [line, *more] = result.err.decode().splitlines()
    assert code == 2 or not more
    assert line.startswith("tweed-shim: ")
    assert listing(service.shim.root) == before
    assert sorted(os.listdir(runs)) == started
    return line.removeprefix("tweed-shim: ")


@AS_ONE_USER
def test_an_instance_or_a_binding_that_is_not_there_or_is_there_already(service: Service) -> None:
    pattern, there = service.pattern, ("--instance", "there")
    for operation in ("bind", "unbind", "deprovision"):
        assert unchanged(service, "exec", pattern, operation, "--instance", "never") == (
            "there is no instance 'never'; 'tweed-shim instances' lists those there are"
        )
    assert unchanged(service, "exec", pattern, "unbind", *there, "--binding", "never") == (
        "instance 'there' has no binding 'never'; 'tweed-shim instances show there' lists those it has"
    )
    assert unchanged(service, "exec", pattern, "provision", *there, "--cloud", "prod") == (
        f"instance 'there' exists already, provisioned by {pattern}; use another --instance, or remove it first with: "
        f"tweed-shim exec {pattern} deprovision --instance there"
    )
    assert service.provision("--instance", "broken", size=1, provision="exit 3").code == 3
    assert unchanged(service, "exec", pattern, "provision", "--instance", "broken", "--cloud", "prod") == (
        f"instance 'broken' exists already and is failed, provisioned by {pattern}; use another --instance, or remove "
        f"it first with: tweed-shim exec {pattern} deprovision --instance broken"
    )
    assert unchanged(service, "exec", pattern, "bind", *there, "--binding", "web") == (
        "instance 'there' has a binding 'web' already; print it with 'tweed-shim instances credentials there web', "
        "or use another --binding"
    )


@AS_ONE_USER
def test_inputs_that_are_no_document_or_break_the_schema(service: Service) -> None:
    directory = os.path.dirname(service.shim.root)
    Path(directory, "list.json").write_text("[1]", encoding="ascii")
    Path(directory, "broken.yaml").write_text("size: [1\nname: x\n", encoding="ascii")
    Path(directory, "plan.yaml").write_text("{name: 5}", encoding="ascii")

    def refused(*words: str, stdin: bytes | None = None, code: int = 125) -> str:
        place = ("--cloud", "prod", "--instance", "new")
        return unchanged(
            service, "exec", service.pattern, "provision", *place, *words, stdin=stdin, code=code
        )

    assert refused() == (
        "the inputs do not fit what the image asks for: size is required; correct them and provision again"
    )
    assert refused("--plan", "plan.yaml", "--inputs", "-", stdin=b'{"size": "large"}') == (
        "the inputs do not fit what the image asks for: size must be a whole number (set by the inputs); name must "
        "be text (set by the plan); correct them and provision again"
    )
    assert "the inputs" in refused("--inputs", "-", stdin=b"[1]")
    assert "list.json" in refused("--inputs", "list.json")
    assert "broken.yaml" in refused("--inputs", "broken.yaml")
    assert "the plan" in refused("--plan", "-", stdin=b"text")
    assert refused("--inputs", "missing.json") == (
        "the file 'missing.json' cannot be read (No such file or directory); to give the inputs itself, use --inputs "
        "- and stdin"
    )
    assert refused("--plan", "-", "--inputs", "-", code=2) == (
        "--plan and --inputs cannot both be stdin; name a file for one of them"
    )


@AS_ONE_USER
def test_a_cloud_that_is_not_configured(service: Service) -> None:
    for words, cloud in ((["--cloud", "never"], "never"), ([], "default")):
        assert unchanged(service, "exec", service.pattern, "provision", "--instance", "new", *words) == (
            f"cloud '{cloud}' is not configured; configure it with the image of its backend first: tweed-shim exec "
            f"BACKEND configure --cloud {cloud} --config FILE, or give --no-backend if the pattern needs none"
        )


NAMES = ["", "../up", "a/b", ".", "..", "a b", "\x1b[1m", "x" * 200]


@AS_ONE_USER
def test_a_name_that_cannot_be_one(service: Service) -> None:
    for name in NAMES:
        for words in (
            ("exec", service.pattern, "deprovision", "--instance", name),
            ("exec", service.pattern, "bind", "--instance", "there", "--binding", name),
            ("instances", "show", name),
            ("instances", "credentials", "there", name),
            ("instances", "forget", name),
        ):
            sentence = unchanged(service, *words)
            assert " cannot name a" in sentence
            assert "\x1b" not in sentence


@AS_ONE_USER
def test_an_empty_name_is_not_that_of_the_default(service: Service) -> None:
    """It is that of a variable of a script that is not set; `default` would be another instance or cloud."""
    service.configure("default")
    done(service.provision("--cloud", "default", size=1))
    pattern, backend, there = service.pattern, service.backend, ("--instance", "there")
    for words in (
        ("exec", pattern, "provision", "--instance", "", "--cloud", "prod"),
        ("exec", pattern, "provision", "--instance", "new", "--cloud", ""),
        ("exec", pattern, "unbind", *there, "--binding", ""),
        *(("exec", pattern, operation, "--instance", "") for operation in ("bind", "unbind", "deprovision")),
        *(
            ("exec", backend, operation, "--cloud", "")
            for operation in ("configure", "check", "setup", "teardown")
        ),
        *(("exec", backend, name, "--cloud", "prod", "--interaction", "") for name in ("setup", "teardown")),
        ("spec", backend, "setup", "--cloud", ""),
        ("spec", backend, "setup", "--cloud", "prod", "--interaction", ""),
        ("environment", "--cloud", ""),
        ("environment", "--cloud", "prod", "--interaction", ""),
    ):
        assert "'' cannot name a" in unchanged(service, *words, stdin=b"{}"), words


@AS_ONE_USER
def test_an_operation_of_the_other_contract(service: Service) -> None:
    backends = "metadata, configure, check, setup, teardown"
    patterns = "metadata, provision, bind, unbind, deprovision"
    for operation in ("configure", "check", "setup", "teardown"):
        for cloud in ("never", "prod"):
            words = ("exec", service.pattern, operation, "--cloud", cloud)
            assert unchanged(service, *words, stdin=b"{}") == (
                f"{service.pattern} is a pattern image, which has no operation '{operation}'; it has {patterns}"
            )
    for operation in ("provision", "bind", "unbind", "deprovision"):
        for instance in ("never", "there"):
            place = ["--cloud", "prod"] if operation == "provision" else []
            assert unchanged(service, "exec", service.backend, operation, "--instance", instance, *place) == (
                f"{service.backend} is a backend image, which has no operation '{operation}'; it has {backends}"
            )


# What bind prints, by its kind, as commands of a shell, and what is said of it. Without a beginning: the image's name.
PRINTED = {
    "no YAML": ("echo 'a: [1'", "the credentials that bind of {image} printed"),
    "a list": ("echo '- a'", "bind of {image} printed no credentials: it has to print one YAML map"),
    "a text": ("echo text", "bind of {image} printed no credentials: it has to print one YAML map"),
    "nothing": ("true", "bind of {image} printed no credentials: it has to print one YAML map"),
    "two documents": ("echo 'a: b'; echo ---; echo 'c: d'", "the credentials that bind of {image} printed"),
    "a name twice": ("echo 'a: b'; echo 'a: c'", "the credentials that bind of {image} printed"),
    "NUL": ("cat /nul", "the credentials that bind of {image} printed"),
    "a tag": ("echo 'a: !!python/name:os.system'", "the credentials that bind of {image} printed"),
    "no UTF-8": ("printf 'a: \\377'", "the credentials that bind of {image} printed"),
    "over 4 MiB": (
        "echo 'a: |'; yes '  secret-text' | head -c 5000000",
        "{image} bind wrote more than 4 MiB, which is no credentials; it was killed, and 'tweed-shim logs ",
    ),
    "an alias bomb": ("cat /bomb", "the credentials that bind of {image} printed"),
}
BOMB = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10) if before else 'secret-text'}]\n"
    for before, name in zip(("", *"abcdefgh"), "abcdefghi", strict=True)
)


def test_bind_that_prints_no_credentials_breaks_the_contract(shim: Shim, script_image: ScriptImage) -> None:
    # All of them as one kind of user: how a text is read is the same for all.
    names = [*PRINTED] if shim.account.kind == "range" else ["no YAML", "a list", "over 4 MiB"]
    cases = "\n".join(f"{number}) {PRINTED[name][0]} ;;" for number, name in enumerate(names))
    # bind has nothing that tells which binding it makes, and cannot write to the credstore: the time is a file's.
    script = f"""case $1 in metadata) {PATTERN_METADATA} ;;
    provision) echo 0 > $CREDSTORE/case ;;
    bind) case $(cat $CREDSTORE/case) in\n{cases}\nesac ;;
    unbind) cat $BINDING ;;
    esac"""
    image = script_image(script, files={"nul": "a: b\0c\n", "bomb": BOMB}, user="2000:2000")
    service = Service(shim, image)
    done(service.provision())
    for number, name in enumerate(names):
        Path(service.path("default", "credstore", "case")).write_text(f"{number}\n", encoding="ascii")
        result = service.run("bind", "--binding", "web")
        sentence = refusal(result)
        assert sentence.startswith(f"tweed-shim: {PRINTED[name][1].format(image=image)}"), name
        assert ("shows what it wrote" in sentence) == (name != "over 4 MiB"), name
        assert (
            "; binding 'web' is failed; before another try unbind it with: "
            f"tweed-shim exec {image} unbind --instance default --binding web"
        ) in sentence, name
        assert "secret" not in sentence
        assert service.bindings() == {"web": "failed"}
        with open(service.path("default", "bindings", "web", "record.json"), encoding="utf-8") as file:
            assert "credentials" not in json.load(file)
        assert done(service.run("unbind", "--binding", "web")).out == b"{}\n"
        assert (service.states(), service.bindings()) == ({"default": "ready"}, {})


@AS_ONE_USER
def test_metadata_that_names_a_file_outside_the_outputs(shim: Shim, script_image: ScriptImage) -> None:
    names = ("../record.json", "/etc/passwd", "a/../../b", "")
    files = "".join(f"- filename: '{name}'\\n" for name in names)
    service = Service(
        shim, script_image(f'case $1 in metadata) {PATTERN_METADATA}; printf "files:\\n{files}" ;; esac')
    )
    sentence = refusal(service.shim.run("-q", "exec", service.pattern, "provision", "--no-backend"))
    assert sentence.startswith(f"tweed-shim: the metadata of {service.pattern} breaks the contract: ")
    for number, problem in enumerate(
        (
            "must lie below $OUTPUTS, and has a component '..'",
            "must be relative to $OUTPUTS, and is absolute",
            "must lie below $OUTPUTS, and has a component '..'",
        )
    ):
        assert f"files[{number}].filename" in sentence
        assert problem in sentence
    assert service.states() == {}
    assert not os.path.exists(service.path("default"))
