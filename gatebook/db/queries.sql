-- Every statement that a replica runs, by name: gatebook.db.queries reads this file. $n are asyncpg's parameters.

-- name: flush
-- Group commit in one round trip: write a batch, note its commit, and bring what others wrote. The read's snapshot is
-- taken after every request of the batch arrived, so it has all that was answered before any of them was asked. $14 is
-- the replica; $15 the ids of the newest rows that it knows, and $16 the oldest id that it still cares for, so that the
-- read is short however busy everyone is; $17 how many rows it wants (0: none). Not `replica <> $14`: while a replica is
-- replaced, two processes bear its name. A retry's id is there already and fails the whole statement; that is rare,
-- while ON CONFLICT DO NOTHING, which inserts each row twice over, would cost every flush a fifth more.
WITH written AS (
    INSERT INTO requests (
        id, body_size, peer, client, status, truncated, scheme, http_version, method, target, headers, body, body_sha256, replica
    )
    SELECT id, body_size, peer::inet, client::inet, status, truncated, scheme, http_version, method, target, headers::json, body, body_sha256, $14
    FROM unnest(
        $1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::boolean[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bytea[]
    ) AS batch (id, body_size, peer, client, status, truncated, scheme, http_version, method, target, headers, body, body_sha256)
), noted AS (
    INSERT INTO batches (ids) SELECT $1 WHERE $1 <> '{}'
)
SELECT id::text, method, target, host(client) AS client, replica, body_size AS size
FROM requests
WHERE id > $16 AND id <> ALL ($15::uuid[])
ORDER BY requests.id DESC
LIMIT $17;

-- name: recorded
-- Which of the ids $1 are there already.
SELECT id::text FROM requests WHERE id = ANY ($1::uuid[]);

-- name: latest
-- What a replica shows first after its start: the $1 newest rows of all.
SELECT id::text, method, target, host(client) AS client, replica, body_size AS size
FROM requests
ORDER BY requests.id DESC
LIMIT $1;

-- name: keep_house
-- Partitions made ahead, old batches pruned.
SELECT keep_house();
