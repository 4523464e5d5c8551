-- 0002: what the page shows of a batch stands beside its ids, so that reading back what others wrote costs the same
-- however many days are kept. Null in the batches of a release that does not know of it.
ALTER TABLE batches ADD COLUMN newest json;

-- Read and written at every flush: neither compressed nor moved out of the row while it fits into a page.
ALTER TABLE batches
    ALTER COLUMN ids SET STORAGE EXTERNAL,
    ALTER COLUMN newest SET STORAGE EXTERNAL,
    SET (toast_tuple_target = 8160);
