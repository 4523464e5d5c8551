-- 0003: which days ever had a partition, so that an audit can tell what was dropped from what was lost.

-- Every day that ever had a partition of its own: what is not there any more was dropped, and not lost.
CREATE TABLE days (
    day date PRIMARY KEY
);

INSERT INTO days
SELECT to_date(substr(relname, length('requests_') + 1), 'YYYYMMDD')
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'requests'::regclass AND relname ~ '^requests_\d{8}$';

GRANT SELECT ON days TO gatebook_viewer;

-- Make the partition of one UTC day. What the default partition holds of that day moves over, so that it can be attached.
CREATE OR REPLACE FUNCTION make_day(day date) RETURNS void
LANGUAGE plpgsql
SET search_path = public, pg_catalog, pg_temp
AS $$
DECLARE
    partition text := 'requests_' || to_char(day, 'YYYYMMDD');
    low uuid := id_floor(day::timestamp AT TIME ZONE 'UTC');
    high uuid := id_floor((day + 1)::timestamp AT TIME ZONE 'UTC');
    kept text;
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN;
    END IF;
    LOCK TABLE requests_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE requests INCLUDING ALL)', partition);
    SELECT string_agg(quote_ident(attname), ', ') INTO kept FROM pg_attribute
        WHERE attrelid = 'requests'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE format(
        'WITH moved AS (DELETE FROM requests_default WHERE id >= %L AND id < %L RETURNING %s) INSERT INTO %I (%s) SELECT %s FROM moved',
        low, high, kept, partition, kept, kept
    );
    EXECUTE format('ALTER TABLE requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, low, high);
    INSERT INTO days VALUES (day) ON CONFLICT DO NOTHING;
END
$$;
