"""The id that a stamp gives."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from gatebook.identity import request_uuid, unix_ms

request_ids = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(request_ids, st.integers(0, 2**48 - 1))
def test_the_id_is_a_uuid7_of_the_stamps_time(request_id: str, ms: int) -> None:
    found = uuid.UUID(request_uuid(request_id, f"{ms // 1000}.{ms % 1000:03}"))
    assert str(found) == request_uuid(request_id, f"{ms // 1000}.{ms % 1000:03}")
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert unix_ms(str(found)) == found.int >> 80 == ms


@given(request_ids, request_ids)
def test_a_retry_has_the_same_id_and_another_request_another(one: str, other: str) -> None:
    assert request_uuid(one, "1763858054.123") == request_uuid(one, "1763858054.123")
    # 74 of the 128 random bits are in the id: all of the first 19 digits but the two high bits of the fourth.
    relevant = [text[:3] + str(int(text[3], 16) % 4) + text[4:19] for text in (one, other)]
    same = request_uuid(one, "1763858054.123") == request_uuid(other, "1763858054.123")
    assert same == (relevant[0] == relevant[1])
