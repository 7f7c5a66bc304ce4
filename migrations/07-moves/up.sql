-- What is in Dropbox already gets another place, or a second one: no bytes.

-- The same tables with two kinds more; SQLite follows the names when they are put in the old ones' place.
CREATE TABLE new_batch (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  kind         TEXT NOT NULL CHECK (kind IN ('upload', 'delete', 'folder', 'trash', 'move', 'copy')),
  async_job_id TEXT,             -- the server's job, once known
  created_at   INTEGER NOT NULL,
  entries      INTEGER NOT NULL DEFAULT 0 -- of the call: where a folder was dropped meanwhile, fewer changes are left
) STRICT;
INSERT INTO new_batch SELECT id, kind, async_job_id, created_at, entries FROM batch;

CREATE TABLE new_change (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  job          INTEGER NOT NULL UNIQUE REFERENCES job (id) ON DELETE CASCADE,
  folder       INTEGER NOT NULL REFERENCES folder (id), -- the job's, for finding and counting
  kind         TEXT NOT NULL CHECK (kind IN ('upload', 'delete', 'folder', 'trash', 'move', 'copy')),
  generation   INTEGER NOT NULL, -- the job's when the views were read
  to_path      TEXT NOT NULL,    -- the remote path it touches, or (trash) the path's own place
  rev          TEXT,             -- the revision that must still be there; NULL in an upload: only where nothing is; in a move: base's
  session      TEXT,             -- uploads only: the closed session that holds the bytes
  size         INTEGER NOT NULL DEFAULT 0, -- bytes in it; 0 in all others
  mtime_ns     INTEGER,          -- from here to content_hash: the file as it was while it was read, or (move, copy) seen at its new path
  ctime_ns     INTEGER,
  ino          INTEGER,
  dev          INTEGER,
  read_size    INTEGER,          -- that file's size
  content_hash BLOB,             -- of the bytes sent, or of the file that gets another place; NULL in a move: it is a directory
  attempts     INTEGER NOT NULL DEFAULT 0,
  created_at   INTEGER NOT NULL,
  not_before   INTEGER NOT NULL,
  batch        INTEGER REFERENCES new_batch (id),  -- NULL: in none
  pos          INTEGER,          -- its place among the batch's entries, from 0
  from_path    TEXT,             -- moves and copies only, from here on: where it lies in Dropbox now
  source       TEXT,             -- the path below the folder that it had
  file_id      TEXT,             -- Dropbox's id of the file
  via          TEXT,             -- it goes to this remote path first; NULL: straight on, or it has got there
  halfway      INTEGER NOT NULL DEFAULT 0, -- 1: it has got there, and must go on
  CHECK ((batch IS NULL) = (pos IS NULL)),
  CHECK (kind <> 'upload' OR session IS NOT NULL AND length(content_hash) = 32),
  CHECK (kind NOT IN ('move', 'copy') OR from_path IS NOT NULL AND source IS NOT NULL)
) STRICT;
INSERT INTO new_change SELECT id, job, folder, kind, generation, to_path, rev, session, size, mtime_ns, ctime_ns, ino, dev, read_size,
                              content_hash, attempts, created_at, not_before, batch, pos, NULL, NULL, NULL, NULL, 0 FROM change;
DROP TABLE change;
DROP TABLE batch;
ALTER TABLE new_batch RENAME TO batch;
ALTER TABLE new_change RENAME TO change;
CREATE INDEX change_ready ON change (kind, folder, not_before) WHERE batch IS NULL;
CREATE UNIQUE INDEX change_batch ON change (batch, pos) WHERE batch IS NOT NULL;
CREATE INDEX change_folder ON change (folder);
-- While a folder's files change places, nothing else is decided there.
CREATE INDEX change_move ON change (folder) WHERE kind IN ('move', 'copy');

CREATE TRIGGER change_added AFTER INSERT ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads + (NEW.kind IN ('upload', 'folder', 'move', 'copy')),
                   staged_deletes = staged_deletes + (NEW.kind IN ('delete', 'trash')) WHERE folder = NEW.folder;
END;
CREATE TRIGGER change_removed AFTER DELETE ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads - (OLD.kind IN ('upload', 'folder', 'move', 'copy')),
                   staged_deletes = staged_deletes - (OLD.kind IN ('delete', 'trash')) WHERE folder = OLD.folder;
END;

-- Which file of base an inode was: a new path with an old inode is that file, moved.
CREATE INDEX base_ino ON base (ino);

-- 1: the file was moved with its directory, and its revision there is not known yet.
ALTER TABLE base ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
