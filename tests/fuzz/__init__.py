"""Hostile input made by machine: bytes that change a little each time, and what must stay true whatever they are."""
