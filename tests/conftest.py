"""The fixtures that every test can ask for; each lives in a module of its own."""

pytest_plugins = [
    "accounts",
    "host_programs",
    "installed",
    "redis_servers",
    "sample_images",
    "script_images",
    "servers",
]
