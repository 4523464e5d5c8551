"""A body as it may be seen, also one that is compressed.

Rule: what is compressed shows nothing of what is masked, and cannot be masked in part. So it is looked into, and where
something in it would be masked, or it cannot be looked through to its end, all of it is.
"""

from collections.abc import Sequence

from gatebook.redact import Redaction
from gatebook.viewer.shown import coding

MOST_BYTES = 4 * 1024 * 1024  # that a body is decoded to, to look into it


def body(redaction: Redaction, content: bytes, codings: Sequence[str], cut: bool = False) -> tuple[bytes, bool]:
    """The body, which is coded so, and whether anything of it was masked. `cut`: it is only the beginning of one."""
    found, masked = redaction.body(content)
    if masked or not redaction or not codings or not content:
        return found, masked
    if _is_harmless(redaction, content, codings, cut):
        return content, False
    return redaction.whole(content), True


def _is_harmless(redaction: Redaction, content: bytes, codings: Sequence[str], cut: bool) -> bool:
    try:
        within, _ = coding.decoded(content, codings, cut, MOST_BYTES, strictly=True)
    except coding.NotDecodable:
        return False
    return len(within) < MOST_BYTES and not redaction.body(within)[1]
