"""Inputs out of inputs: some bytes more, less or other, words that the code knows, pieces of each other."""

from collections.abc import Sequence
from random import Random

LONGEST = 8192

# What parsers trip over, whatever they parse.
WORDS = (
    b"\0", b"\r\n", b"\n", b"\r", b" ", b"\t", b'"', b"'", b"\\", b"%", b"%00", b"%2e", b"..", b"/", b"//", b"*", b":",
    b";", b",", b"=", b"&", b"?", b"#", b"<", b">", b"[", b"]", b"{", b"}", b"(", b")", b"-", b"_", b"0", b"-1", b"+1",
    b"1e999", b"9" * 20, b"9" * 5000, b"0" * 5000, b"2147483648", b"18446744073709551616", b"NaN", b"\xff", b"\xc0\xaf",
    b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xf4\x90\x80\x80", b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xd9\xa3", b"\xc2\x85", b"\x1b[2J", b"\\u0000", b"\\ud800", b"\\udc00", b"\\x00", b"<script>", b"{{7*7}}",
    b"${x}",
    b"$(id)", b"`id`", b"';--", b"%s%n", b"\xe2\x80\xa8", b"\x7f", b"::1", b"127.0.0.1", b"10.0.0.0/8",
)  # fmt: skip


def changed(random: Random, data: bytes, others: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One to a few changes; at most LONGEST bytes."""
    made = bytearray(data)
    for _ in range(1 << random.choice((0, 0, 0, 1, 1, 2, 3))):
        _change(random, made, others, words)
    return bytes(made[:LONGEST])


def _change(random: Random, made: bytearray, others: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = random.randrange(len(made) + 1)
    length = min(int(random.paretovariate(1.0)), max(len(made) - at, 1))
    match random.randrange(11):
        case 0 if at < len(made):
            made[at] ^= 1 << random.randrange(8)
        case 1 if at < len(made):
            made[at] = random.randrange(256)
        case 2:
            made[at:at] = random.randbytes(length % 16 + 1)
        case 3:
            del made[at : at + length]
        case 4 | 5:
            word = random.choice(words)
            made[at : at + (len(word) if random.random() < 0.5 else 0)] = word
        case 6:
            made[at:at] = made[at : at + length]
        case 7 if others:
            other = random.choice(others)
            first = random.randrange(len(other) + 1)
            made[at:] = other[first:] if random.random() < 0.5 else other[first : first + length] + made[at:]
        case 8 if made:
            made[at : at + 1] = made[at : at + 1] * random.choice((2, 3, 17, 100, 1000))
        case 9 if at < len(made):
            made[at] = (made[at] + random.choice((-1, 1))) % 256
        case _:
            other_at = random.randrange(len(made) + 1)
            part = made[other_at : other_at + length]
            made[at : at + length] = part
