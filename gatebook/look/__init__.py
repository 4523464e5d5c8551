"""What `/` and `/_/` look alike by: the colours of palette.css, and which of them a replica has. Pure."""

from functools import lru_cache
from importlib import resources

HUES = 8
PALETTE = resources.files("gatebook.look").joinpath("palette.css")


@lru_cache(1024)
def hue(replica: str) -> int:
    """A colour by name, the same wherever it is shown; `-1`, `-2`, `-3` get neighbouring, unlike ones."""
    return sum(map(ord, replica)) % HUES
