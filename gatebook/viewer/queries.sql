-- The statements of the API, by name: gatebook.viewer.database reads this file. $n are asyncpg's parameters.

-- name: ready
-- Whether the table can be read.
SELECT EXISTS (SELECT FROM requests) AS anything;

-- name: columns
-- Not a statement but a part of others: a request as gatebook.viewer.row shows it.
id, to_char(received_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS received_at, replica,
host(peer) AS peer, host(client) AS client, scheme, http_version, method, target, headers, body_size,
encode(body_sha256, 'hex') AS body_sha256, truncated, status, tls

-- name: one_request
-- The request of id $1, as in a page, and its kept body if that has no more than $2 bytes.
SELECT {columns}, CASE WHEN octet_length(body) <= $2 THEN body END AS body FROM requests WHERE id = $1;

-- name: shown_request
-- The request of id $1 with the first $2 bytes of its kept body, how many are kept, and the SHA-256 of what was sent.
SELECT
    {columns},
    substring(body FOR $2::int) AS body,
    octet_length(body) AS kept,
    encode(CASE WHEN truncated THEN body_sha256 ELSE sha256(body) END, 'hex') AS sha256
FROM requests
WHERE id = $1;

-- name: body_kept
-- How many bytes are kept of the body of request $1 (null: it has none here); reads none of them.
SELECT octet_length(body) AS kept, truncated FROM requests WHERE id = $1;

-- name: body_part
-- $3 bytes of the body of request $1, from byte $2 on, counted from 0.
SELECT substring(body FROM $2::int + 1 FOR $3::int) AS part FROM requests WHERE id = $1;

-- name: days
-- The first and the last day that has a partition.
SELECT min(day) AS first, max(day) AS last
FROM days
WHERE to_regclass('requests_' || to_char(day, 'YYYYMMDD')) IS NOT NULL;

-- name: oldest
-- The id of the oldest request there is.
SELECT id FROM requests ORDER BY id LIMIT 1;

-- name: note
-- A line in the trail: act, who, client, about, requests.
INSERT INTO trail (act, who, client, about, requests) VALUES ($1, $2, $3::text::inet, $4, $5);

-- name: trail
-- The $2 newest lines of it, before line $1 (null: of all); `at` in Unix milliseconds.
SELECT id, floor(extract(epoch FROM at) * 1000)::bigint AS at, act, who, host(client) AS client, about, requests, reason
FROM trail
WHERE id < coalesce($1::bigint, 9223372036854775807)
ORDER BY id DESC
LIMIT $2::bigint;

-- name: forgotten
-- When request $1 was deleted for good.
SELECT to_char(trail.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at
FROM forgotten JOIN trail ON trail.id = forgotten.act
WHERE forgotten.id = $1;

-- name: tokens
-- All tokens, a column each for what is known of them (null: there are none).
SELECT array_agg(id) AS ids, array_agg(name) AS names, array_agg(hash) AS hashes FROM tokens;

-- name: token_used
-- Note that token $1 is in use, to the minute.
UPDATE tokens
SET last_used_at = date_trunc('minute', now())
WHERE id = $1 AND last_used_at IS DISTINCT FROM date_trunc('minute', now());
