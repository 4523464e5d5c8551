"""How to send a recorded request again: with curl, with HTTPie, in Python. Pure."""
