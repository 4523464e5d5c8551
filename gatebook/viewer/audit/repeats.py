"""Which of millions of ids came more than once, in constant memory. Pure.

A Bloom filter (Bloom, 1970) in blocks of one word each (Putze, Sanders and Singler, 2007): an id sets four bits of one
word, which its random digits choose. An id that came before always finds its bits set. Now and then another one does,
too (seen: 18 among 1,000,000 ids, 23,000 among 10,000,000), so these are suspects, to be counted in a second reading.
"""

from array import array

_WORDS = 1 << 21  # of 8 bytes
_MOST_SUSPECTS = 100_000  # beyond, which takes some 16,000,000 ids, the filter is too full to tell


class Repeats:
    """Takes ids of requests and suspects those that may have come before."""

    def __init__(self) -> None:
        self._words = array("Q", bytes(8)) * _WORDS
        self.suspects: set[str] = set()

    @property
    def overrun(self) -> bool:
        """There were so many ids that some of them may have come again without being suspected."""
        return len(self.suspects) >= _MOST_SUSPECTS

    def add(self, id: str) -> None:
        noise = int(id[24:], 16)  # 48 of a UUIDv7's random bits
        bits = 1 << (noise & 63) | 1 << (noise >> 6 & 63) | 1 << (noise >> 12 & 63) | 1 << (noise >> 18 & 63)
        place = (noise >> 24) % _WORDS
        word = self._words[place]
        if word & bits != bits:
            self._words[place] = word | bits
        elif not self.overrun:
            self.suspects.add(id)
