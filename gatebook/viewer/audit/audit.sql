-- What the audit asks, by name: gatebook.viewer.audit.recorded reads this file. $n are asyncpg's parameters.

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
