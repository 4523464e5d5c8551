-- The whole schema, for an empty database. The postgres image runs this file on an empty volume; everywhere else the
-- migrations build the same, and a test proves that it is the same.

BEGIN;

-- Which migrations this database has had.
CREATE TABLE migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each request. The id is a UUIDv7 made from the load balancer's stamp: identity, order, time, idempotency
-- key and partition key in one. Wire text is kept one character per byte (latin-1).
CREATE TABLE requests (
    id uuid PRIMARY KEY,
    received_at timestamptz GENERATED ALWAYS AS (uuid_extract_timestamp(id)) VIRTUAL,
    body_size bigint,              -- bytes the client sent; null when it never said and nobody counted
    peer inet NOT NULL,            -- who connected to the load balancer
    client inet NOT NULL,          -- who that was, seen through the trusted proxies
    status smallint NOT NULL,      -- what was answered
    truncated boolean NOT NULL,    -- the body is not, or not wholly, here
    replica text NOT NULL,
    scheme text NOT NULL,
    http_version text NOT NULL,
    method text NOT NULL,
    target text NOT NULL,          -- as sent
    headers json NOT NULL,         -- [[name, value], ...], as sent
    body bytea,                    -- null when it was too large to read at all
    body_sha256 bytea,             -- of the whole body, when only its beginning is here
    tls json                       -- {"version": ..., "cipher": ..., "server_name": ... or null}; null without TLS
) PARTITION BY RANGE (id);

-- What no day's partition takes: a stamp from a clock that is far off.
CREATE TABLE requests_default PARTITION OF requests DEFAULT;

-- One row for each flush: the order of commits, which ids do not have. Pruned after a day.
CREATE TABLE batches (
    xid xid8 PRIMARY KEY DEFAULT pg_current_xact_id(),
    written_at timestamptz NOT NULL DEFAULT now(),
    ids uuid[] NOT NULL,
    newest json                    -- what the page shows of its newest, [[id, method, target, client, replica, size], ...]
);

-- Read and written at every flush: neither compressed nor moved out of the row while it fits into a page.
ALTER TABLE batches
    ALTER COLUMN ids SET STORAGE EXTERNAL,
    ALTER COLUMN newest SET STORAGE EXTERNAL,
    SET (toast_tuple_target = 8160);

-- Names the cluster and the database whose transaction ids `batches` holds: another one after a restore, the same after
-- a restart. The timeline is in it because recovery to a point in time gives the same ids once more.
CREATE FUNCTION epoch() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = public, pg_catalog, pg_temp
RETURN (
    SELECT left(md5(concat_ws(' ', system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_database.oid)), 8)
    FROM pg_control_system(), pg_database
    WHERE datname = current_database()
);

-- Up to which transaction id batches were pruned, in this epoch: what has to begin before it has a gap. One row.
CREATE TABLE batches_pruned (
    epoch text NOT NULL,
    last xid8 NOT NULL
);
INSERT INTO batches_pruned VALUES (epoch(), '0');

-- What can be found where: of about a thousand requests that lie together, the hashes of what a filter may ask for
-- (gatebook.filter.terms says which). A request is in at least one block, here or in search_chunks, whose terms contain
-- all of its own, or in what search_state says is still to be done. Filled behind the captures, by commits, so that
-- none is left out.
CREATE TABLE search_blocks (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    low uuid NOT NULL,             -- the ids of its requests lie from here
    high uuid NOT NULL,            -- to here, both included
    rows integer NOT NULL,
    terms integer[]                -- null: nobody has looked yet, anything may be in it
);
ALTER TABLE search_blocks ALTER COLUMN terms SET STORAGE EXTERNAL;

-- Blocks, once there are enough to be laid together: a Bloom filter of each one's terms, crosswise, so that the bits of
-- all blocks at one position lie side by side, and a few bytes tell which of them may have a term. A GIN index over the
-- terms was several times as large and wrote far more WAL, since each term is on another page of it.
CREATE TABLE search_chunks (
    low uuid NOT NULL,             -- of all its blocks
    high uuid NOT NULL,
    blocks bytea NOT NULL,         -- of each low, high (16 bytes) and rows (4 bytes)
    positions integer NOT NULL,    -- of each filter
    bits bytea NOT NULL            -- 16 bytes for each position: bit N, lowest first, is block N's
);
ALTER TABLE search_chunks ALTER COLUMN blocks SET STORAGE EXTERNAL, ALTER COLUMN bits SET STORAGE EXTERNAL;
CREATE INDEX search_chunks_high ON search_chunks (high);

-- How far the blocks reach. Empty, or of another epoch: there are none that count. One row at most. Whoever writes requests
-- without their batch empties it, and the filling begins anew.
CREATE TABLE search_state (
    epoch text NOT NULL,
    next xid8 NOT NULL,            -- of all batches below this one, the requests are in blocks,
    down_to uuid NOT NULL          -- and of all requests that were there when the filling began, those from this id on
);

-- What of it counts: nothing once batches were pruned that were in no block.
CREATE VIEW search_reach AS
SELECT next, down_to
FROM search_state
WHERE
    search_state.epoch = epoch() AND NOT EXISTS (
        SELECT FROM batches_pruned WHERE batches_pruned.epoch = search_state.epoch AND last >= next
    );

-- The body as JSON; null where it is none that PostgreSQL takes.
CREATE FUNCTION body_json(body bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

-- Every day that ever had a partition of its own: what is not there any more was dropped, and not lost.
CREATE TABLE days (
    day date PRIMARY KEY
);

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

-- The smallest UUIDv7 of a point in time: time filters and partition bounds are ranges of ids.
CREATE FUNCTION id_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid;

-- Make the partition of one UTC day. What the default partition holds of that day moves over, so that it can be attached.
CREATE FUNCTION make_day(day date) RETURNS void
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

-- Regular housekeeping, by whoever gets to it first: partitions from yesterday to a week ahead, batches of one day. It
-- gives up rather than wait for a long reader, since captures would queue behind it; a week ahead leaves many tries.
CREATE FUNCTION keep_house() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_catalog, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    kept xid8;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('gatebook.keep_house')) THEN
        RETURN;
    END IF;
    FOR ahead IN -1..7 LOOP
        PERFORM make_day(today + ahead);
    END LOOP;
    -- A dump brings the transaction ids of another cluster, which this one will come to.
    DELETE FROM batches WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
    SELECT xid INTO kept FROM batches WHERE written_at > now() - interval '1 day' ORDER BY xid LIMIT 1;
    WITH old AS (
        DELETE FROM batches WHERE xid < kept RETURNING xid
    )
    UPDATE batches_pruned SET epoch = epoch(), last = CASE
        WHEN batches_pruned.epoch = epoch() THEN greatest(batches_pruned.last, pruned.last) ELSE pruned.last
    END
    FROM (SELECT max(xid) AS last FROM old) AS pruned
    WHERE pruned.last IS NOT NULL;
END
$$;

-- The roles that work: none owns a table. They may log in once gatebook.db.migrate has given them a password.
DO $$
BEGIN
    IF to_regrole('gatebook_capture') IS NULL THEN CREATE ROLE gatebook_capture; END IF;
    IF to_regrole('gatebook_viewer') IS NULL THEN CREATE ROLE gatebook_viewer; END IF;
    IF to_regrole('gatebook_index') IS NULL THEN CREATE ROLE gatebook_index; END IF;
    IF to_regrole('gatebook_keeper') IS NULL THEN CREATE ROLE gatebook_keeper; END IF;
END
$$;

REVOKE EXECUTE ON FUNCTION make_day(date), keep_house(), epoch() FROM PUBLIC;
GRANT SELECT ON migrations, requests, batches TO gatebook_capture, gatebook_viewer, gatebook_index;
GRANT SELECT ON days TO gatebook_viewer;
GRANT SELECT ON batches_pruned, search_blocks, search_chunks, search_state, search_reach TO gatebook_viewer, gatebook_index;
GRANT INSERT ON requests, batches TO gatebook_capture;
GRANT INSERT, DELETE, TRUNCATE ON search_blocks, search_chunks TO gatebook_index;
GRANT INSERT, UPDATE, DELETE ON search_state TO gatebook_index;
GRANT EXECUTE ON FUNCTION keep_house() TO gatebook_capture;
GRANT EXECUTE ON FUNCTION epoch() TO gatebook_viewer, gatebook_index;
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

SELECT keep_house();
INSERT INTO migrations (name) VALUES ('0001_pre_first_release'), ('0002_pre_newest_of_a_batch'), ('0003_pre_days'), ('0004_pre_restored'), ('0005_pre_search'), ('0006_pre_access');

COMMIT;
