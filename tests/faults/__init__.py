"""Faults on purpose: a real stack under load, one thing broken after another, and what was promised is counted."""
