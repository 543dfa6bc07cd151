"""From an image reference to an unpacked root filesystem."""
