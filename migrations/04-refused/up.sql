-- The file as it was when Dropbox refused it, and when that was: a wedged row whose file is still the same is left alone by scans.
-- All NULL where the row was wedged for another reason.
ALTER TABLE job ADD COLUMN refused_at INTEGER;
ALTER TABLE job ADD COLUMN refused_size INTEGER;
ALTER TABLE job ADD COLUMN refused_mtime_ns INTEGER;
ALTER TABLE job ADD COLUMN refused_ctime_ns INTEGER;
ALTER TABLE job ADD COLUMN refused_ino INTEGER;
ALTER TABLE job ADD COLUMN refused_dev INTEGER;

-- Entries of the call: a batch whose folder was dropped has fewer changes, but its job must still come to its end before another begins.
ALTER TABLE batch ADD COLUMN entries INTEGER NOT NULL DEFAULT 0;
UPDATE batch SET entries = (SELECT count(*) FROM change WHERE change.batch = batch.id);
