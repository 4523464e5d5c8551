"""Pictures, told by their first bytes and by nothing that anybody says of them. SVG is none: it can run.

Rule: a picture is drawn only when its size is known and not huge. Of hostile ones only the head is read.
"""

import re
from io import BytesIO
from typing import NamedTuple

import imagesize  # type: ignore[import-untyped]

MOST_PIXELS = 25_000_000  # to draw without being asked; a browser takes 4 bytes for each
_HEAD_BYTES = 256 * 1024  # before which the sizes are to be found: a JPEG may have long notes before it
_MAGIC = (
    ("image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("image/jpeg", re.compile(rb"\xff\xd8\xff")),
    ("image/gif", re.compile(rb"GIF8[79]a")),
    ("image/webp", re.compile(rb"RIFF[\s\S]{4}WEBPVP8[ LX]")),
    ("image/avif", re.compile(rb"[\s\S]{4}ftypavi[fs]")),
    ("image/bmp", re.compile(rb"BM[\s\S]{12}[\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00")),
    ("image/x-icon", re.compile(rb"\x00\x00\x01\x00[\x01-\x40]\x00[\s\S]{3}\x00")),
)


class Image(NamedTuple):
    type: str
    width: int  # 0: not known
    height: int

    @property
    def drawn(self) -> bool:
        """Whether it is small enough to be drawn."""
        return 0 < self.width * self.height <= MOST_PIXELS


def kind(content: bytes) -> str | None:
    """The media type of a picture that browsers know, by its first bytes."""
    return next((type for type, magic in _MAGIC if magic.match(content)), None)


def image(content: bytes) -> Image | None:
    """What is to be known of a picture before it is drawn; None: it is none."""
    type = kind(content)
    if type is None:
        return None
    # Only a JPEG is asked whether it lies on its side: reading that of AVIF takes hostile ones for ever.
    width, height = imagesize.get(BytesIO(content[:_HEAD_BYTES]), exif_rotation=type == "image/jpeg")
    return Image(type, int(width), int(height)) if min(width, height) > 0 else Image(type, 0, 0)
