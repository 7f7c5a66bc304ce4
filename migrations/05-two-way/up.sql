-- Both directions: directories that both sides have, and the changes that two-way adds.

-- Directories that disk and Dropbox agreed on; only in folders whose remote changes come down.
CREATE TABLE base_dir (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  parent TEXT NOT NULL,          -- '' is the folder's root
  name   TEXT NOT NULL,
  ino    INTEGER NOT NULL,       -- the 64 bits of the number, read as signed; 0: not known
  dev    INTEGER NOT NULL,       -- likewise
  PRIMARY KEY (folder, parent, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX base_dir_ino ON base_dir (ino);

-- The same tables with more kinds; SQLite follows the names when they are put in the old ones' place. 'delete' without a revision: a folder that is empty in Dropbox. 'folder': one is made there.
-- 'trash': a file goes to the local trash, or (without a revision) an empty directory goes.
CREATE TABLE new_batch (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  kind         TEXT NOT NULL CHECK (kind IN ('upload', 'delete', 'folder', 'trash')),
  async_job_id TEXT,             -- the server's job, once known
  created_at   INTEGER NOT NULL,
  entries      INTEGER NOT NULL DEFAULT 0 -- of the call: where a folder was dropped meanwhile, fewer changes are left
) STRICT;
INSERT INTO new_batch SELECT id, kind, async_job_id, created_at, entries FROM batch;

CREATE TABLE new_change (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  job          INTEGER NOT NULL UNIQUE REFERENCES job (id) ON DELETE CASCADE,
  folder       INTEGER NOT NULL REFERENCES folder (id), -- the job's, for finding and counting
  kind         TEXT NOT NULL CHECK (kind IN ('upload', 'delete', 'folder', 'trash')),
  generation   INTEGER NOT NULL, -- the job's when the views were read
  to_path      TEXT NOT NULL,    -- the remote path it touches, or (trash) the path's own place
  rev          TEXT,             -- the revision that must still be there; NULL in an upload: only where nothing is
  session      TEXT,             -- uploads only, from here to content_hash: the closed session that holds the bytes
  size         INTEGER NOT NULL DEFAULT 0, -- bytes in it; 0 in all others
  mtime_ns     INTEGER,          -- the file as it was while it was read
  ctime_ns     INTEGER,
  ino          INTEGER,
  dev          INTEGER,
  read_size    INTEGER,          -- that file's size
  content_hash BLOB,             -- of the bytes sent
  attempts     INTEGER NOT NULL DEFAULT 0,
  created_at   INTEGER NOT NULL,
  not_before   INTEGER NOT NULL,
  batch        INTEGER REFERENCES new_batch (id),  -- NULL: in none
  pos          INTEGER,          -- its place among the batch's entries, from 0
  CHECK ((batch IS NULL) = (pos IS NULL)),
  CHECK (kind <> 'upload' OR session IS NOT NULL AND length(content_hash) = 32)
) STRICT;
INSERT INTO new_change SELECT id, job, folder, kind, generation, to_path, rev, session, size, mtime_ns, ctime_ns, ino, dev, read_size,
                              content_hash, attempts, created_at, not_before, batch, pos FROM change;
DROP TABLE change;
DROP TABLE batch;
ALTER TABLE new_batch RENAME TO batch;
ALTER TABLE new_change RENAME TO change;
CREATE INDEX change_ready ON change (kind, folder, not_before) WHERE batch IS NULL;
CREATE UNIQUE INDEX change_batch ON change (batch, pos) WHERE batch IS NOT NULL;
CREATE INDEX change_folder ON change (folder);

-- What the guard counts: deletions on either side. New folders are counted with the uploads.
CREATE TRIGGER change_added AFTER INSERT ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads + (NEW.kind IN ('upload', 'folder')),
                   staged_deletes = staged_deletes + (NEW.kind IN ('delete', 'trash')) WHERE folder = NEW.folder;
END;
CREATE TRIGGER change_removed AFTER DELETE ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads - (OLD.kind IN ('upload', 'folder')),
                   staged_deletes = staged_deletes - (OLD.kind IN ('delete', 'trash')) WHERE folder = OLD.folder;
END;

-- In two-way the local version moves to the copy, and the conflict lasts as long as the copy: its path below the folder. NULL: the copy was made in
-- Dropbox only, and the conflict lasts as long as base lies there.
ALTER TABLE conflict ADD COLUMN aside TEXT;
