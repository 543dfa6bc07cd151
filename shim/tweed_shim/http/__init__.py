"""Connections to servers: URLs, TLS, proxies, time limits, and the one gate that every credential passes.

This package knows nothing of what is requested over a connection, be it an image or a component.
"""
