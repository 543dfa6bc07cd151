"""Whole command lines, for messages: what a reader can type to end an interaction, an instance or a binding."""


def teardown(image: str, cloud: str, interaction: str) -> str:
    """Return the command that tears an interaction down."""
    return f"tweed-shim exec {image} teardown --cloud {cloud} --interaction {interaction}"


def deprovision(image: str, instance: str) -> str:
    """Return the command that deprovisions an instance."""
    return f"tweed-shim exec {image} deprovision --instance {instance}"


def unbind(image: str, instance: str, binding: str) -> str:
    """Return the command that unbinds a binding."""
    return f"tweed-shim exec {image} unbind --instance {instance} --binding {binding}"
