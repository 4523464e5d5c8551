-- Every statement that a replica runs, by name: gatebook.db.queries reads this file. $n are asyncpg's parameters.

-- name: flush
-- Group commit in one round trip: write a batch, note its commit, and bring what others wrote. The read's snapshot is
-- taken after every request of the batch arrived, so it has all that was answered before any of them was asked. $15 is
-- the replica, $16 what the page shows of the batch's newest; $17 the snapshot of the last read, whose successor this is:
-- every batch that it did not see is read, from `batches` alone, because reading `requests` would open each partition.
-- At most $18 batches are looked at (0: nothing is wanted); `incomplete` says that there may be more, or that one did not
-- say what it holds. The arrays are unnested in the select list: in FROM, each one is stored before it is read, which costs a
-- tenth of the statement; an empty one, as $14 is without TLS, gives NULL to each row. A retry's id is there already and
-- fails the whole statement; that is rare, while ON CONFLICT DO NOTHING, which inserts each row twice over, would cost
-- every flush a fifth more.
WITH written AS (
    INSERT INTO requests (
        id, body_size, peer, client, status, truncated, scheme, http_version, method, target, headers, body, body_sha256, tls, replica
    )
    SELECT id, body_size, peer::inet, client::inet, status, truncated, scheme, http_version, method, target, headers, body, body_sha256, tls, $15
    FROM (
        SELECT
            unnest($1::uuid[]) AS id, unnest($2::bigint[]) AS body_size, unnest($3::text[]) AS peer,
            unnest($4::text[]) AS client, unnest($5::smallint[]) AS status, unnest($6::boolean[]) AS truncated,
            unnest($7::text[]) AS scheme, unnest($8::text[]) AS http_version, unnest($9::text[]) AS method,
            unnest($10::text[]) AS target, unnest($11::json[]) AS headers, unnest($12::bytea[]) AS body,
            unnest($13::bytea[]) AS body_sha256, unnest($14::json[]) AS tls
    ) AS batch
), noted AS (
    INSERT INTO batches (ids, newest) SELECT $1, $16 WHERE $1 <> '{}'
), late AS (
    SELECT newest, pg_visible_in_snapshot(xid, $17::text::pg_snapshot) AS seen
    FROM batches
    WHERE xid >= pg_snapshot_xmin($17::text::pg_snapshot)
    ORDER BY xid DESC
    LIMIT $18
)
SELECT
    pg_current_snapshot()::text AS snapshot,
    count(*) = $18 OR coalesce(bool_or(newest IS NULL) FILTER (WHERE NOT seen), false) AS incomplete,
    array_agg(newest) FILTER (WHERE NOT seen) AS newest
FROM late;

-- name: recorded
-- Which of the ids $1 are there already.
SELECT id::text FROM requests WHERE id = ANY ($1::uuid[]);

-- name: snapshot
-- Where the reading of batches begins.
SELECT pg_current_snapshot()::text;

-- name: latest
-- Where batches do not tell, as when a connection is new: the $1 newest rows of all, their texts cut after $2 characters.
SELECT id::text, left(method, $2) AS method, left(target, $2) AS target, host(client) AS client, replica, body_size AS size
FROM requests
ORDER BY requests.id DESC
LIMIT $1;

-- name: forgotten
-- Which of the ids $1 were deleted for good. The viewer's live events and the audit ask it, too.
SELECT id::text FROM forgotten WHERE id = ANY ($1::uuid[]);

-- name: hold_off_forgetting
-- While this transaction lasts, nothing is forgotten, so that what is not forgotten now still is not when it is written.
-- False when something is being forgotten: nobody waits for that.
SELECT pg_try_advisory_xact_lock_shared(hashtext('gatebook.forgotten'));

-- name: keep_house
-- Partitions made ahead, old batches pruned.
SELECT keep_house();
