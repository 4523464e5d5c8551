-- Statements that are put together for one filter: gatebook.viewer.search.reading fills in the {braces}. $n are asyncpg's.
-- {condition} is the filter; {order} is DESC or ASC, the way of the walk, {within} >= or <=, {end} $1 or $2 accordingly.

-- name: reach
-- Not a statement but a part: the last of the first $3 ids from $1 up to below $2, in the order of the walk. Null when there
-- are fewer. Nothing but the index is read for it.
SELECT id FROM requests WHERE id >= $1::uuid AND id < $2::uuid ORDER BY id {order} OFFSET $3::bigint - 1 LIMIT 1

-- name: stretch
-- A part: one window's rows. The filter is asked of these and no more, however seldom it is true.
id >= $1::uuid AND id < $2::uuid AND id {within} coalesce((SELECT id FROM reach), {end}) AND {condition}

-- name: short_range
-- A part: the rows of one of many short ranges $3, all of them from $1 up to below $2, by which the planner opens the days.
id >= ($3::uuid[])[n][1] AND id < ($3::uuid[])[n][2] AND id >= $1::uuid AND id < $2::uuid AND {condition}

-- name: weighed
-- A part: each row, and the bytes of targets and headers before it. Clients decide how long these are.
SELECT
    *,
    sum(octet_length(target) + octet_length(headers::text))
        OVER (ORDER BY id {order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
FROM page

-- name: find
-- What a window has for a page: $4 rows at most, and no more once there are $5 bytes of them. There is always one row, which
-- says how far the window reached and how many were found before they were weighed.
WITH reach AS (
    {reach}
), page AS (
    SELECT {columns} FROM requests WHERE {stretch} ORDER BY id {order} LIMIT $4::bigint
), weighed AS (
    {weighed}
)
SELECT (SELECT id FROM reach) AS reached, (SELECT count(*) FROM page) AS found, weighed.*
FROM (SELECT) AS always LEFT JOIN weighed ON coalesce(bytes_before, 0) < $5::bigint
ORDER BY id {order};

-- name: find_in_ranges
-- The same for many short ranges.
WITH page AS (
    SELECT here.*
    FROM generate_subscripts($3::uuid[], 1) AS n CROSS JOIN LATERAL (
        SELECT {columns} FROM requests WHERE {short_range} ORDER BY id {order} LIMIT $4::bigint
    ) AS here
    ORDER BY id {order}
    LIMIT $4
), weighed AS (
    {weighed}
)
SELECT NULL::uuid AS reached, (SELECT count(*) FROM page) AS found, weighed.*
FROM (SELECT) AS always LEFT JOIN weighed ON coalesce(bytes_before, 0) < $5::bigint
ORDER BY id {order};

-- name: ranked
-- A part: how many by start and value, and which values are the most frequent.
SELECT start, value, count, bytes, dense_rank() OVER (ORDER BY of_value DESC, value) AS rank
FROM (
    SELECT
        start, value, count(*) AS count, coalesce(sum(body_size), 0)::bigint AS bytes,
        sum(count(*)) OVER (PARTITION BY value) AS of_value
    FROM looked
    GROUP BY start, value
) AS grouped

-- name: groups
-- A part: the groups of the $4 most frequent values, and in each row how many have another one.
(SELECT coalesce(sum(count), 0)::bigint FROM ranked WHERE rank > $4::bigint) AS others,
floor(extract(epoch FROM start) * 1000)::bigint AS start_ms, value, count, bytes
FROM (SELECT) AS always LEFT JOIN ranked ON rank <= $4::bigint

-- name: count
-- How many there are in a window, by start and value. There is always one row, which says how far the window reached.
WITH reach AS (
    {reach}
), looked AS (
    SELECT {start} AS start, {value} AS value, body_size FROM requests WHERE {stretch}
), ranked AS (
    {ranked}
)
SELECT (SELECT id FROM reach) AS reached, {groups};

-- name: count_in_ranges
-- The same for many short ranges. OFFSET 0 has each looked at by itself: joined, all that lies between them may be read.
WITH looked AS (
    SELECT here.*
    FROM generate_subscripts($3::uuid[], 1) AS n CROSS JOIN LATERAL (
        SELECT {start} AS start, {value} AS value, body_size FROM requests WHERE {short_range}
        OFFSET 0
    ) AS here
), ranked AS (
    {ranked}
)
SELECT NULL::uuid AS reached, {groups};

-- name: candidates
-- Which ranges of ids from $1 up to below $2 can hold what the blocks' {condition} says, at one moment. Blocks, of which there
-- are few, answer it here; of chunks, the nearest $3, come the bits of the terms whose first positions are $5 and steps $6.
-- What no block covers yet are the commits from `next` on, of which those within about a minute (the first four bytes of an
-- id) are put together, and all below `down_to`. No row of kind 'rest': the blocks do not count, or more than $4 commits are
-- to be covered.
WITH state AS MATERIALIZED (
    SELECT next, down_to FROM search_reach
), late AS MATERIALIZED (
    SELECT ids FROM batches WHERE xid >= (SELECT next FROM state) ORDER BY xid LIMIT $4::bigint + 1
), rest AS MATERIALIZED (
    SELECT down_to FROM state WHERE (SELECT count(*) FROM late) <= $4
), chunk AS (
    SELECT low, high, blocks, positions, bits
    FROM search_chunks
    WHERE high >= $1::uuid AND low < $2::uuid AND EXISTS (SELECT FROM rest)
    ORDER BY {near}
    LIMIT $3::bigint
)
SELECT
    'rest' AS kind, NULL::bytea AS low, uuid_send(down_to) AS high, NULL::bigint AS rows, NULL::bytea AS blocks,
    NULL::bytea AS slices
FROM rest
UNION ALL
SELECT 'late', min(uuid_send(id)), max(uuid_send(id)), count(*), NULL, NULL
FROM late, unnest(ids) AS id
WHERE id >= $1 AND id < $2 AND EXISTS (SELECT FROM rest)
GROUP BY substr(uuid_send(id), 1, 4)
UNION ALL
SELECT 'block', uuid_send(low), uuid_send(high), rows, NULL, NULL
FROM search_blocks
WHERE high >= $1 AND low < $2 AND EXISTS (SELECT FROM rest) AND (terms IS NULL OR {condition})
UNION ALL
SELECT 'chunk', uuid_send(low), uuid_send(high), NULL, blocks, (
    SELECT string_agg(substr(bits, ((at + n * step) % positions)::integer * 16 + 1, 16), ''::bytea ORDER BY number, n)
    FROM unnest($5::bigint[], $6::bigint[]) WITH ORDINALITY AS terms (at, step, number), generate_series(0, {hashes} - 1) AS n
)
FROM chunk;
