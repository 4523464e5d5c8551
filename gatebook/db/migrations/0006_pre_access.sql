-- 0006: who may look, what was deleted for good, and how a request came over TLS.

-- How it came over TLS, as the load balancer saw it: {"version": ..., "cipher": ..., "server_name": ... or null}; null
-- without TLS.
ALTER TABLE requests ADD COLUMN tls json;

-- What may ask the API beside whoever has signed in. A token itself is nowhere: it is told once, when it is made.
CREATE TABLE tokens (
    id text PRIMARY KEY,           -- the part of the token by which it is found
    name text NOT NULL UNIQUE,
    hash bytea NOT NULL,           -- SHA-256 of its secret part, which is random: 32 bytes
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz       -- to the minute
);

-- What was done with the records, by whom: what was revealed, what was forgotten, who was let in. It only grows.
CREATE TABLE trail (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    act text NOT NULL,             -- 'signed in', 'token created', 'token revoked', 'revealed', 'forgotten'
    who text NOT NULL,             -- 'session', 'token NAME', 'operator', or 'anybody' where nobody is asked who they are
    client inet,                   -- from where; null: on this machine
    about text NOT NULL,           -- a path asked for, a token's name, the fields of a filter; never a value that was sent
    requests bigint,               -- how many it was about, where that is known
    reason text                    -- why, in the words of whoever did it; null: they gave none
);

-- Ids of requests that were deleted for good: the audit does not miss them, and a spool does not bring them back.
CREATE TABLE forgotten (
    id uuid PRIMARY KEY,
    act bigint NOT NULL REFERENCES trail
);

-- The role that manages tokens and deletes. Only commands that an operator gives log in as it.
DO $$
BEGIN
    IF to_regrole('gatebook_keeper') IS NULL THEN CREATE ROLE gatebook_keeper; END IF;
END
$$;

GRANT SELECT ON migrations, requests, batches, trail, forgotten, tokens TO gatebook_keeper;
GRANT DELETE ON requests TO gatebook_keeper;
GRANT MAINTAIN ON requests, requests_default, batches TO gatebook_keeper;  -- each day's table, too: see make_day
GRANT INSERT, UPDATE (newest) ON batches TO gatebook_keeper;
GRANT INSERT, UPDATE (requests) ON trail TO gatebook_keeper;
GRANT INSERT ON forgotten, tokens TO gatebook_keeper;
GRANT DELETE ON tokens TO gatebook_keeper;
GRANT SELECT ON trail, forgotten, tokens TO gatebook_viewer;
GRANT INSERT ON trail TO gatebook_viewer;
GRANT UPDATE (last_used_at) ON tokens TO gatebook_viewer;
GRANT SELECT ON forgotten TO gatebook_capture;

-- As before, and gatebook_keeper may vacuum it, which a right to the whole table does not give: make the partition of one
-- UTC day. What the default partition holds of that day moves over, so that it can be attached.
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
    EXECUTE format('GRANT MAINTAIN ON %I TO gatebook_keeper', partition);
    EXECUTE format('ALTER TABLE requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, low, high);
    INSERT INTO days VALUES (day) ON CONFLICT DO NOTHING;
END
$$;

DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'requests'::regclass LOOP
        EXECUTE format('GRANT MAINTAIN ON %s TO gatebook_keeper', partition);
    END LOOP;
END
$$;
