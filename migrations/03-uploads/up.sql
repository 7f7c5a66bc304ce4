-- Uploads under way, one a job: which session holds which bytes. Written before the bytes are sent, gone when the change is staged.
CREATE TABLE upload (
  job          INTEGER PRIMARY KEY REFERENCES job (id) ON DELETE CASCADE,
  session      TEXT NOT NULL,
  born_at      INTEGER NOT NULL, -- of the session
  begun_at     INTEGER NOT NULL, -- of this row
  chunk        INTEGER NOT NULL, -- bytes of a part; 0: the file goes whole, in a pack
  size         INTEGER NOT NULL, -- the file as it was, five columns
  mtime_ns     INTEGER NOT NULL,
  ctime_ns     INTEGER NOT NULL,
  ino          INTEGER NOT NULL,
  dev          INTEGER NOT NULL,
  content_hash BLOB,             -- in a pack: of the file's bytes
  CHECK (chunk > 0 OR length(content_hash) = 32)
) STRICT;

-- Parts of a large file: those that have arrived, and the closing one before it is sent.
CREATE TABLE part (
  job     INTEGER NOT NULL REFERENCES upload (job) ON DELETE CASCADE,
  at      INTEGER NOT NULL,      -- where in the file it begins
  digests BLOB NOT NULL,         -- of its 4 MiB blocks, 32 bytes each
  closing INTEGER NOT NULL,      -- it may or may not have arrived, and the session may be closed
  PRIMARY KEY (job, at)
) STRICT, WITHOUT ROWID;

-- When the unbroken run of changes began that the row waits out, so that a path that is never quiet is looked at all the same.
ALTER TABLE job ADD COLUMN burst INTEGER NOT NULL DEFAULT 0;
UPDATE job SET burst = due_at;
