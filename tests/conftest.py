"""Fixtures for all tests: those of PostgreSQL are in postgres.py, those of the local stack in local_stack.py."""

pytest_plugins = ["postgres", "local_stack"]
