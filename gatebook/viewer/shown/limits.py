"""How much of one body is drawn, all its parts taken together."""

from dataclasses import dataclass


@dataclass
class Limits:
    """What may still be drawn; whoever draws takes it off."""

    rows: int = 5000
    characters: int = 256 * 1024

    @property
    def reached(self) -> bool:
        return self.rows <= 0 or self.characters <= 0
