-- What an operator's commands do, by name: gatebook.keeping.keeper reads this file. $n are asyncpg's parameters.

-- name: found
-- Not a statement but a part of a search: as much of a request as its forgetting has to know.
id, replica, left(split_part(target, '?', 1), 200) AS target, '[]'::json AS headers

-- name: telling
-- The batches that say of any of the ids $1 what the page shows of it. Nothing is written here, since live events wait for
-- whoever writes, and looking through a day of batches takes a while.
SELECT xid
FROM batches
WHERE newest IS NOT NULL AND EXISTS (SELECT FROM unnest(ids) AS id WHERE id = ANY ($1::uuid[]));

-- name: hush
-- They say it no more: replicas then read the table.
UPDATE batches SET newest = NULL WHERE xid = ANY ($1::xid8[]);

-- name: lock
-- Nobody drains a spool while this transaction lasts: a row that is deleted now must not be written once more by who has
-- just asked whether it was forgotten. See `hold_off_forgetting` in gatebook.db.
SELECT pg_advisory_xact_lock(hashtext('gatebook.forgotten'));

-- name: begin
-- A line in the trail: who, the fields of the filter, why.
INSERT INTO trail (act, who, about, requests, reason) VALUES ('forgotten', $1, $2, 0, $3) RETURNING id;

-- name: forget
-- Delete the ids $1, which lie between $2 and $3, and note them, as of the line $4 in the trail. The batch without requests tells
-- replicas and viewers to look at what they remember. Returns how many there were, and the tables that they were in.
WITH gone AS (
    DELETE FROM requests WHERE id = ANY ($1::uuid[]) AND id >= $2::uuid AND id <= $3::uuid
    RETURNING id, tableoid::regclass::text AS day
), noted AS (
    INSERT INTO forgotten (id, act) SELECT id, $4::bigint FROM gone ON CONFLICT DO NOTHING
), told AS (
    INSERT INTO batches (ids, newest) SELECT '{}', '[]' WHERE EXISTS (SELECT FROM gone)
), counted AS (
    UPDATE trail SET requests = requests + (SELECT count(*) FROM gone) WHERE id = $4
)
SELECT count(*) AS requests, array_agg(DISTINCT day) AS days FROM gone;

-- name: dead
-- The tables with rows that were deleted and are still on the disk: of requests nobody deletes any but by forgetting.
SELECT relid::regclass::text AS day
FROM pg_stat_user_tables
WHERE n_dead_tup > 0 AND relid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'requests'::regclass);

-- name: unlearn
-- PostgreSQL keeps the most frequent values of each column, and some others, until it analyzes the tables $1 again; where
-- nothing is left in them, for ever.
SELECT pg_clear_attribute_stats(relnamespace::regnamespace::text, relname, attname, inherited)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid, (VALUES (false), (true)) AS kinds (inherited)
WHERE pg_class.oid = ANY ($1::text[]::regclass[]) AND attnum > 0 AND NOT attisdropped;

-- name: add_token
WITH noted AS (
    INSERT INTO trail (act, who, about) VALUES ('token created', $1, $3)
)
INSERT INTO tokens (id, name, hash) VALUES ($2, $3, $4);

-- name: tokens
SELECT id, name, created_at, last_used_at FROM tokens ORDER BY created_at, name;

-- name: revoke_token
-- Whether there was one.
WITH gone AS (
    DELETE FROM tokens WHERE name = $2 RETURNING name
)
INSERT INTO trail (act, who, about) SELECT 'token revoked', $1, name FROM gone RETURNING true;
