"""Connections to servers: URLs, TLS, proxies, time limits, and the one gate that every credential passes.

What is asked for over them, an image or a component, is not known here.
"""
