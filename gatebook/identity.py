"""The id of a request: identity, order, time and idempotency key in one. Pure.

Rule: the same stamp of the load balancer gives the same id, so a retry is the same record, whoever meets it.
"""

import time
from functools import lru_cache

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def request_uuid(request_id: str, msec: str) -> str:
    """The UUIDv7 (RFC 9562, section 5.7) of a stamp: its milliseconds and 74 of the random bits of `request_id`."""
    return f"{_time(msec)}-7{request_id[:3]}-{_VARIANT[request_id[3]]}{request_id[4:7]}-{request_id[7:19]}"


@lru_cache(64)
def _time(msec: str) -> str:
    """The first 48 bits of a UUIDv7, as it is written."""
    digits = f"{int(msec[:-4] + msec[-3:]):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def unix_ms(request_uuid: str) -> int:
    """The milliseconds since 1970 in a UUIDv7."""
    return int(request_uuid[:8] + request_uuid[9:13], 16)


def utc(request_uuid: str, between: str = "T") -> str:
    """The time in a UUIDv7 as RFC 3339 has it, with `between` its day and its clock."""
    return rfc3339(unix_ms(request_uuid), between)


def rfc3339(unix_ms: int, between: str = "T") -> str:
    """Milliseconds since 1970 as RFC 3339 has them, in UTC."""
    second, ms = divmod(unix_ms, 1000)
    day, clock = _day_and_clock(second)
    return f"{day}{between}{clock}.{ms:03}Z"


@lru_cache(64)
def _day_and_clock(second: int) -> tuple[str, str]:
    year, month, day, hours, minutes, seconds, *_ = time.gmtime(second)
    return f"{year:04}-{month:02}-{day:02}", f"{hours:02}:{minutes:02}:{seconds:02}"
