"""The Tweed backend contract: its operations as a table, the documents of its images, and the state of clouds.

Nothing here pulls or runs an image by itself: `tweed_shim.runner` does, for every contract.
"""
