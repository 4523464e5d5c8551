"""Who counts sees what is wrong: rows that were lost, doubled, altered or made up are found in a sound table."""

from collections import Counter

from local_stack import Stack

from faults import checks
from faults.clients import Clients
from faults.load import load
from faults.request import LARGE_BODY, MEDIAN_BODY, number_in, request, token

SECOND_ROW = "set_byte(uuid_send(id), 15, 255 - get_byte(uuid_send(id), 15))"  # the same day, another id


def test_what_is_lost_or_twice_or_altered_or_made_up_is_counted(own_stack: Stack) -> None:
    own_stack.up("--scale", 1)
    with load(own_stack.url, clients=4) as running:
        running.until_more(200)
    sound = checks.find(own_stack, running)
    assert (sound.stored, sound.errors, sound.troubles) == (sound.acknowledged, Counter(), [])
    assert sound.acknowledged == sound.attempted > 200

    ids = [outcome.id for outcome in running.outcomes]
    columns = "body_size, peer, client, status, truncated, replica, scheme, http_version, method, target, headers, body"
    own_stack.sql(f"DELETE FROM requests WHERE id = '{ids[0]}'")
    own_stack.sql(f"UPDATE requests SET headers = '[]' WHERE id = '{ids[1]}'")
    own_stack.sql(f"UPDATE requests SET body = set_byte(body || '!', 0, 1) WHERE id = '{ids[2]}'")
    copied = f"SELECT encode({SECOND_ROW}, 'hex')::uuid, {columns} FROM requests WHERE id"
    own_stack.sql(f"INSERT INTO requests (id, {columns}) {copied} = '{ids[3]}'")
    stranger = token(running.run, sound.attempted + 1)
    own_stack.sql(f"UPDATE requests SET target = '/load/{stranger}' WHERE id = '{ids[4]}'")

    found = checks.find(own_stack, running)
    assert (found.lost, found.altered, found.twice, found.strangers) == (2, 2, 1, 1)
    assert len(found.troubles) == 4


def test_the_bodies_are_as_said() -> None:
    """Half of them up to 200 bytes, one in a thousand exactly 1 MiB, and always the same for the same number."""
    sizes = [len(request("run", number).body) for number in range(2, 40_000, 4)]
    small = sorted(size for size in sizes if size != LARGE_BODY)
    assert abs(small[len(small) // 2] - MEDIAN_BODY) < 20
    assert 2 <= sizes.count(LARGE_BODY) <= 25
    assert request("run", 2) == request("run", 2) != request("other", 2)


def test_a_token_is_found_in_its_own_load_only() -> None:
    clients = Clients("h", 80, "aabbccdd")
    sent = request(clients.run, 17)
    assert number_in(sent.target, "aabbccdd") == 17
    assert number_in(sent.target, "aabbccde") is None
    assert number_in("/load/aabbccdd-17", "aabbccdd") is None
