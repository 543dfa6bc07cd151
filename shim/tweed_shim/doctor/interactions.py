"""The interactions that operations of patterns left behind, each with the command that ends it."""

from tweed_shim.doctor.findings import OK, WARNING, CheckContext, Finding, not_tried
from tweed_shim.errors import ShimError
from tweed_shim.image import store
from tweed_shim.tweed import cloud_states, command_lines
from tweed_shim.tweed.cloud_states import InteractionState

NAME = "interactions"


def left_behind(context: CheckContext) -> list[Finding]:
    """Return a finding for each interaction that was left behind, or a single one where there is none."""
    try:
        store.check_version(context.root)
        left = cloud_states.left_behind(context.root)
    except (ShimError, OSError):
        # The finding `store` has the reason.
        return [not_tried(NAME, "a store that can be read")]
    if not left:
        return [Finding(NAME, OK, "no operation of a pattern left one behind")]
    return [_finding(cloud, interaction) for cloud, interaction in left]


def _finding(cloud: str, interaction: InteractionState) -> Finding:
    found = (
        f"'{interaction.name}' of cloud '{cloud}' was left behind by {interaction.operation} of instance "
        f"'{interaction.instance}'"
    )
    effect = "what its setup made in the backend stays there, and can be used"
    mend = command_lines.teardown(interaction.image, cloud, interaction.name)
    return Finding(NAME, WARNING, found, effect, mend)
