"""Gatebook writes down every HTTP request that comes through the gate, once, durably."""

__version__ = "0.1.0"
