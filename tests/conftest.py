"""Fixtures for all tests: those of PostgreSQL are in postgres.py, those of the local stack in local_stack.py."""

import signal

pytest_plugins = ["postgres", "local_stack"]

# A shell has its background jobs ignore it, and what they start would as well: Ctrl-C is part of what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)
