-- The statements of live events, by name: gatebook.viewer.events.portion reads this file. $n are asyncpg's parameters.

-- name: now
-- Where the stream stands. `newest`: all up to this batch can be told; `recent`: what comes behind this one is a few
-- seconds old at most, or a few hundred batches; `next`: no transaction has this id yet; `pruned`: up to this one batches
-- are gone; `held`: whether the batch $1 has the request $2. A position is made of batches alone and never of the horizon
-- itself: after a crash PostgreSQL may give a transaction id once more that has left nothing behind.
WITH told AS (
    SELECT xid, written_at
    FROM batches
    WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid DESC
    LIMIT 500
), pruned AS (
    SELECT coalesce((SELECT last FROM batches_pruned WHERE epoch = epoch()), '0') AS last
)
SELECT
    epoch() AS epoch,
    coalesce((SELECT max(xid) FROM told), last) AS newest,
    coalesce(
        (SELECT max(xid) FROM told WHERE written_at < now() - interval '5 seconds'), (SELECT min(xid) FROM told), last
    ) AS recent,
    pg_snapshot_xmax(pg_current_snapshot()) AS next,
    last AS pruned,
    EXISTS (SELECT FROM batches WHERE xid = $1 AND $2 = ANY (ids)) AS held
FROM pruned;

-- name: batches
-- The batches from transaction $2 on that can be told, in their order, until they hold $3 requests. What is below the
-- horizon of one snapshot is visible to every later one, so the requests may be read by another statement. `pruned` is
-- up to where batches are gone, in the epoch $1.
SELECT xid, ids, coalesce((SELECT last FROM batches_pruned WHERE epoch = $1), '0') AS pruned
FROM (
    SELECT
        xid, ids,
        sum(cardinality(ids)) OVER (ORDER BY xid ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM batches
    WHERE xid >= $2 AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid
    LIMIT $3
) AS coming
WHERE coalesce(before, 0) < $3
ORDER BY xid;

-- name: rows
-- Not a statement but its frame: the requests of the ids $1, which lie between $2 and $3, as far as they match.
-- Clients decide how long targets and headers are, so it ends once it has $4 bytes of them, but never before its first
-- row; `found` says how many there were.
SELECT *
FROM (
    SELECT
        {columns},
        count(*) OVER () AS found,
        sum(octet_length(target) + octet_length(headers::text))
            OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM requests
    WHERE id = ANY ($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid AND {condition}
) AS weighed
WHERE coalesce(before, 0) < $4::bigint;

-- name: matches
-- Not a statement but its frame: what each filter says of the requests of the ids $1.
SELECT id::text AS id, {conditions} FROM requests WHERE id = ANY ($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid;
