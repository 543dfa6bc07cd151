"""The users of images in a store: the clouds, interactions and instances that an image made. They need it again."""

from tweed_shim.tweed import cloud_states, instance_states


def image_users(root: str) -> dict[str, list[tuple[str, str]]]:
    """Return the users of each image by its manifest digest.

    A user is a phrase for a message and the command that removes it, in the order of removal: instances and
    interactions come before their cloud. Raises DamagedRecord.
    """
    users = instance_states.image_users(root)
    for digest, more in cloud_states.image_users(root).items():
        users.setdefault(digest, []).extend(more)
    return users
