"""Fixtures for all tests: those of PostgreSQL are in postgres.py, those of the local stack in local_stack.py."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["postgres", "local_stack"]

# A shell has its background jobs ignore it, and what they start would as well: Ctrl-C is part of what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The default, or what Hypothesis takes for it in CI, but an example may take as long as the machine needs.
settings.register_profile("patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
