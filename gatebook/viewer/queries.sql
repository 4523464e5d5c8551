-- Every statement of the viewer, by name: gatebook.viewer.database reads this file. $n are asyncpg's parameters.

-- name: ready
-- Whether the table can be read.
SELECT EXISTS (SELECT FROM requests) AS anything;

-- name: columns
-- Not a statement but a part of those that are put together here: a request as gatebook.viewer.row shows it.
id, to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS received_at, replica,
host(peer) AS peer, host(client) AS client, scheme, http_version, method, target, headers, body_size,
encode(body_sha256, 'hex') AS body_sha256, truncated, status

-- name: one_request
-- The request of id $1, as in a page, and its kept body if that has no more than $2 bytes.
SELECT
    id, to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS received_at, replica,
    host(peer) AS peer, host(client) AS client, scheme, http_version, method, target, headers, body_size,
    encode(body_sha256, 'hex') AS body_sha256, truncated, status,
    CASE WHEN octet_length(body) <= $2 THEN body END AS body
FROM requests
WHERE id = $1;

-- name: body_kept
-- How many bytes are kept of the body of request $1 (null: it has none here); reads none of them.
SELECT octet_length(body) AS kept, truncated FROM requests WHERE id = $1;

-- name: body_part
-- $3 bytes of the body of request $1, from byte $2 on, counted from 0.
SELECT substring(body FROM $2::int + 1 FOR $3::int) AS part FROM requests WHERE id = $1;

-- name: absent_ids
-- Which of the ids $1 are not recorded. $2 and $3 are the lowest and the highest of them: by these the days are left out
-- that they cannot be in, and the array keeps it to as many probes as there are ids, however much lies between.
SELECT id::text
FROM (
    SELECT unnest($1::uuid[]) AS id
    EXCEPT
    SELECT id FROM requests WHERE id = ANY ($1) AND id >= $2::uuid AND id <= $3::uuid
) AS absent;

-- name: count_rows
-- How many rows and how many ids there are from $1 to $2, of the first $3 of them; `last` is where that ended, null when
-- there is none. An id that is there twice is not torn apart.
WITH slice AS (
    SELECT id FROM requests WHERE id >= $1::uuid AND id <= $2::uuid ORDER BY id FETCH FIRST ($3::bigint) ROWS WITH TIES
)
SELECT count(*) AS rows, count(DISTINCT id) AS ids, (SELECT id FROM slice ORDER BY id DESC LIMIT 1) AS last FROM slice;

-- name: dropped_days
-- Which of the days $1 had a partition once and have none now.
SELECT day
FROM days
WHERE
    day = ANY ($1::date[])
    AND NOT EXISTS (
        SELECT FROM pg_inherits
        WHERE inhparent = 'requests'::regclass AND inhrelid = to_regclass('requests_' || to_char(day, 'YYYYMMDD'))
    );

-- name: days
-- The first and the last day that has a partition.
SELECT min(day) AS first, max(day) AS last
FROM days
WHERE to_regclass('requests_' || to_char(day, 'YYYYMMDD')) IS NOT NULL;
