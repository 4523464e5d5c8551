-- 0004: batches out of a dump have the transaction ids of the cluster that was dumped, which this one will come to.
-- Regular housekeeping, by whoever gets to it first: partitions from yesterday to a week ahead, batches of one day. It
-- gives up rather than wait for a long reader, since captures would queue behind it; a week ahead leaves many tries.
CREATE OR REPLACE FUNCTION keep_house() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_catalog, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('gatebook.keep_house')) THEN
        RETURN;
    END IF;
    FOR ahead IN -1..7 LOOP
        PERFORM make_day(today + ahead);
    END LOOP;
    DELETE FROM batches WHERE xid < (
        SELECT xid FROM batches WHERE written_at > now() - interval '1 day' ORDER BY xid LIMIT 1
    );
    -- A dump brings the transaction ids of another cluster, which this one will come to.
    DELETE FROM batches WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
END
$$;
