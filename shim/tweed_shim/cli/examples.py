"""Two examples of every command, and its exit codes: for `--help` and the manual pages. A test parses each example."""

from collections.abc import Mapping

# By the words of a command; those without a command, and of the groups of commands, are for their lists.
EXAMPLES: Mapping[str, tuple[str, str]] = {
    "": (
        "tweed-shim exec registry.example/redis-backend:1 configure --cloud prod --config redis.json",
        "tweed-shim exec registry.example/redis-backend:1 setup --cloud prod --interaction shop",
    ),
    "pull": (
        "tweed-shim pull registry.example/redis-backend:1",
        "tweed-shim pull --platform linux/arm64 oci-archive:image.tar",
    ),
    "exec": (
        "tweed-shim exec registry.example/redis-backend:1 setup --cloud prod --interaction shop --format json",
        "tweed-shim exec registry.example/redis-pattern:1 provision --instance shop --inputs shop.json",
    ),
    "spec": (
        "tweed-shim spec registry.example/redis-backend:1 setup --network none",
        "tweed-shim spec oci:image check --cloud prod > config.json",
    ),
    "bundle": (
        "tweed-shim bundle registry.example/redis-backend:1 setup ./bundle --cloud prod",
        "tweed-shim bundle oci:image metadata /var/tmp/bundle",
    ),
    "shell": (
        "tweed-shim shell registry.example/redis-backend:1 setup --cloud prod",
        "tweed-shim shell oci:image --tools -- ls -lR /tweed",
    ),
    "images": ("tweed-shim images", "tweed-shim images --json"),
    "rm": (
        "tweed-shim rm registry.example/redis-backend:1",
        "tweed-shim rm oci:image registry.example/pg-backend:2",
    ),
    "gc": ("tweed-shim gc --dry-run", "tweed-shim gc --keep-last 5 --keep-logs 100m"),
    "fsck": ("tweed-shim fsck", "tweed-shim fsck --repair --json"),
    "clouds": ("tweed-shim clouds --json", "tweed-shim clouds forget prod shop"),
    "environment": (
        "tweed-shim environment --cloud prod --interaction shop --format shell",
        "tweed-shim environment --cloud prod --interaction shop --format systemd > shop.env",
    ),
    "instances": (
        "tweed-shim instances show shop",
        "tweed-shim instances credentials shop web --format json",
    ),
    "logs": ("tweed-shim logs 7", "tweed-shim logs rm --all"),
    "login": (
        "tweed-shim login registry.example",
        "tweed-shim login registry.example --username me --password-stdin < password",
    ),
    "logout": ("tweed-shim logout registry.example", "tweed-shim logout localhost:5000"),
    "doctor": ("tweed-shim doctor", "tweed-shim --root /srv/store doctor --json"),
    "ocm": (
        "tweed-shim ocm get ./transport.ctf",
        "tweed-shim ocm resources ./transport.ctf//example.com/app:1.0.0",
    ),
    "ocm get": (
        "tweed-shim ocm get ./transport.ctf",
        "tweed-shim ocm get ghcr.io/acme/ocm//example.com/app --constraints '>=1.2, <2'",
    ),
    "ocm resources": (
        "tweed-shim ocm resources ./transport.ctf//example.com/app:1.0.0",
        "tweed-shim ocm resources ghcr.io/acme/ocm//example.com/app --recursive --json",
    ),
    "ocm download": (
        "tweed-shim ocm download ./transport.ctf//example.com/app:1.0.0 notes -O notes.txt",
        "tweed-shim ocm download ./transport.ctf//example.com/app image --oci-layout -O image",
    ),
    "ocm transfer": (
        "tweed-shim ocm transfer -r ./transport.ctf//example.com/app:1.0.0 registry.example/ocm",
        "tweed-shim ocm transfer -r -V ghcr.io/acme/ocm//example.com/app:1.0.0 ./transport.tgz -t tgz",
    ),
    "ocm verify": (
        "tweed-shim ocm verify ./transport.ctf//example.com/app:1.0.0 -s acme -k acme.pub",
        "tweed-shim ocm verify ./transport.ctf//example.com/app:1.0.0 -s acme -k acme.pub --at 2024-05-01T12:00:00Z",
    ),
    "spiff": (
        "tweed-shim spiff merge template.yaml values.yaml",
        "tweed-shim spiff diff one.yaml other.yaml",
    ),
    "spiff merge": (
        "tweed-shim spiff merge template.yaml values.yaml",
        "tweed-shim spiff merge --json --path meta.name template.yaml",
    ),
    "spiff run": (
        "tweed-shim spiff run document.yaml template.yaml",
        "tweed-shim spiff run document.yaml template.yaml values.yaml --json",
    ),
    "spiff diff": (
        "tweed-shim spiff diff one.yaml other.yaml",
        "tweed-shim spiff diff one.yaml - < other.yaml",
    ),
    "spiff convert": (
        "tweed-shim spiff convert values.yaml --json",
        "tweed-shim spiff convert --path meta values.json",
    ),
    "spiff encrypt": (
        "tweed-shim spiff encrypt secret.yaml password",
        "tweed-shim spiff encrypt -d secret.txt password",
    ),
    "toi": (
        "tweed-shim toi describe ghcr.io/acme/ocm//example.com/app:1.0.0",
        "tweed-shim toi bootstrap install ghcr.io/acme/ocm//example.com/app:1.0.0 -p parameters.yaml",
    ),
    "toi bootstrap": (
        "tweed-shim toi bootstrap install ghcr.io/acme/ocm//example.com/app:1.0.0 -p parameters.yaml -c secrets.yaml",
        "tweed-shim toi bootstrap uninstall ./transport.ctf//example.com/app:1.0.0 platform=aws --dry-run",
    ),
    "toi config": (
        "tweed-shim toi config ghcr.io/acme/ocm//example.com/app:1.0.0",
        "tweed-shim toi config ./transport.ctf//example.com/app:1.0.0 -p parameters.yaml",
    ),
    "toi describe": (
        "tweed-shim toi describe ghcr.io/acme/ocm//example.com/app:1.0.0",
        "tweed-shim toi describe ./transport.ctf//example.com/app:1.0.0 --json",
    ),
    "help": ("tweed-shim help exec", "tweed-shim help toi bootstrap"),
    "completion": (
        "tweed-shim completion bash > /etc/bash_completion.d/tweed-shim",
        "tweed-shim completion fish > ~/.config/fish/completions/tweed-shim.fish",
    ),
    "version": ("tweed-shim version", "tweed-shim version --json"),
}
_OPERATION = {
    "124": "the time of --timeout or --pull-timeout is over",
    "other": "the code of the image, which failed",
}
_CODES = {
    "pull": {"124": "the time of --timeout is over"},
    "exec": _OPERATION,
    "shell": {"124": _OPERATION["124"], "other": "the code of the program"},
    "toi bootstrap": _OPERATION,
    "fsck": {"1": "damage stays"},
    "doctor": {"1": "no image can run"},
    "ocm verify": {"1": "something is not what was signed, or cannot be compared"},
}
_ALWAYS = {
    "0": "done",
    "2": "the command line cannot be parsed",
    "125": "the shim refused or failed; the message says why",
    "128+N": "ended by signal N",
}
_ORDER = ("0", "1", "2", "124", "125", "128+N", "other")


def exit_codes(command: str) -> list[tuple[str, str]]:
    """Return the exit codes of a command with their meanings. command: its words."""
    codes = _ALWAYS | _CODES.get(command, {})
    return [(code, codes[code]) for code in _ORDER if code in codes]


def epilog(command: str) -> str:
    """Return the end of the help of a command; nothing for one without examples. command: its words."""
    if command not in EXAMPLES:
        return ""
    examples = "".join(f"  {each}\n" for each in EXAMPLES[command])
    codes = "".join(f"  {code:5}  {meaning}\n" for code, meaning in exit_codes(command))
    return f"\nexamples:\n{examples}\nexit codes:\n{codes}"
