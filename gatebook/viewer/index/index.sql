-- Every statement that fills the search index, by name: gatebook.viewer.index.filling reads this. $n are asyncpg's.

-- name: lead
-- Whether we are the one process that fills it, from now on until this connection ends.
SELECT pg_try_advisory_lock(hashtext('gatebook.index'));

-- name: look
-- How far the blocks reach, if they count; how far they may: all transactions below `settled` have ended; how many
-- transactions there were so far.
SELECT
    state.next, state.down_to, pg_snapshot_xmin(pg_current_snapshot()) AS settled,
    pg_snapshot_xmax(pg_current_snapshot()) AS transactions
FROM (SELECT) AS always LEFT JOIN search_reach AS state ON true;

-- name: disown
-- The first step of a new beginning: from its commit on the blocks do not count.
DELETE FROM search_state;

-- name: empty
-- The second, in a transaction with the third. A search whose snapshot is older than the first holds a lock that this waits
-- for, so none sees the old state without its blocks.
TRUNCATE search_blocks, search_chunks;

-- name: begin
-- The third: what has ended by now is found in the table, below the highest id; what has not will be in a batch.
INSERT INTO search_state (epoch, next, down_to)
VALUES (epoch(), pg_snapshot_xmin(pg_current_snapshot()), 'ffffffff-ffff-ffff-ffff-ffffffffffff');

-- name: commits
-- The first $3 commits from transaction $1 up to below $2, and how many requests each wrote; `old`: it has waited for long.
SELECT xid, cardinality(ids) AS rows, written_at < now() - $4::interval AS old
FROM batches
WHERE xid >= $1::xid8 AND xid < $2::xid8
ORDER BY xid
LIMIT $3::bigint;

-- name: ids
-- What the commits from $1 up to below $2 wrote.
SELECT DISTINCT id FROM batches, unnest(ids) AS id WHERE xid >= $1::xid8 AND xid < $2::xid8 ORDER BY id;

-- name: add_rough
-- Blocks without terms for what the commits from $1 up to below $2 wrote: anything may be in them. One for each minute or so,
-- that is, for each beginning of four bytes.
INSERT INTO search_blocks (low, high, rows, terms)
SELECT encode(min(uuid_send(id)), 'hex')::uuid, encode(max(uuid_send(id)), 'hex')::uuid, count(*), NULL
FROM batches, unnest(ids) AS id
WHERE xid >= $1::xid8 AND xid < $2::xid8
GROUP BY substr(uuid_send(id), 1, 4);

-- name: rough
-- The newest of these.
SELECT number, low, high, rows FROM search_blocks WHERE terms IS NULL ORDER BY high DESC LIMIT 1;

-- name: parts
-- Not a statement but a part of the next two: what terms are made of. A request that is `large` is read alone.
id, large, CASE WHEN NOT large THEN method END AS method, CASE WHEN NOT large THEN target END AS target,
CASE WHEN NOT large THEN headers END AS headers, host(peer) AS peer, host(client) AS client, replica, scheme, status,
truncated, body_size

-- name: rows
-- The requests of ids from $1 to $2 that are among $3; those of more than $4 bytes are `large`.
SELECT {parts}
FROM (
    SELECT *, octet_length(method) + octet_length(target) + octet_length(headers::text) > $4::bigint AS large
    FROM requests
    WHERE id >= $1::uuid AND id <= $2::uuid AND id = ANY ($3::uuid[])
) AS those
ORDER BY id;

-- name: rows_below
-- The same of the last $3 requests from $1 up to below $2, newest first.
SELECT {parts}
FROM (
    SELECT *, octet_length(method) + octet_length(target) + octet_length(headers::text) > $4::bigint AS large
    FROM requests
    WHERE id >= $1::uuid AND id < $2::uuid
    ORDER BY id DESC
    LIMIT $3::bigint
) AS those
ORDER BY id DESC;

-- name: large_row
-- What is left out of these.
SELECT method, target, headers FROM requests WHERE id = $1::uuid;

-- name: add_block
INSERT INTO search_blocks (low, high, rows, terms) VALUES ($1, $2, $3, $4);

-- name: advance
-- From the state $1, $2 to $3, $4; nothing when another process has changed it, or when batches were pruned that may not have
-- been read any more.
UPDATE search_state SET next = $3, down_to = $4
WHERE next = $1 AND down_to = $2 AND EXISTS (SELECT FROM search_reach)
RETURNING true;

-- name: blocks
-- The $1 oldest blocks with terms.
SELECT number, low, high, rows
FROM search_blocks
WHERE terms IS NOT NULL
ORDER BY low, high
LIMIT $1::bigint;

-- name: sizes
-- How many terms they have.
SELECT cardinality(terms) AS size FROM search_blocks WHERE number = ANY ($1::bigint[]);

-- name: terms_of
SELECT terms FROM search_blocks WHERE number = $1;

-- name: drop_blocks
DELETE FROM search_blocks WHERE number = ANY ($1::bigint[]) RETURNING true;

-- name: add_chunk
INSERT INTO search_chunks (low, high, blocks, positions, bits) VALUES ($1, $2, $3, $4, $5);

-- name: newest
-- The highest id in any of them.
SELECT max(uuid_send(high))
FROM (SELECT high FROM search_blocks UNION ALL (SELECT high FROM search_chunks ORDER BY high DESC LIMIT 1)) AS highest;

-- name: forget
-- Delete what lies wholly below the oldest request, some at a time: their days were dropped. Whether there was anything.
WITH oldest AS (
    SELECT id FROM requests ORDER BY id LIMIT 1
), chunks AS (
    DELETE FROM search_chunks
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM search_chunks WHERE high < (SELECT id FROM oldest) ORDER BY high LIMIT 10))
    RETURNING high
), blocks AS (
    DELETE FROM search_blocks WHERE high < (SELECT id FROM oldest) RETURNING high
)
SELECT EXISTS (SELECT FROM chunks) OR EXISTS (SELECT FROM blocks);
