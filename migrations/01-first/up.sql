-- One account's state. Units: times are milliseconds since 1970 UTC unless the name ends in _ns; sizes are bytes.
-- Truth values are 0 and 1. Paths below a folder have no leading slash and keep the letters of the disk.

PRAGMA application_id = 0x46657242; -- "FerB"

-- Single values. Keys that begin with "store." belong to the store itself.
CREATE TABLE meta (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A local directory and the remote path it is synced with. Numbers are never used twice, so a late report cannot hit another folder.
CREATE TABLE folder (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  local   TEXT NOT NULL UNIQUE,
  remote  TEXT NOT NULL,
  mode    TEXT NOT NULL,
  root_id TEXT,                 -- the root's identity on the disk; NULL until both sides have met
  held    TEXT                  -- why its deletions wait for a person; NULL: they do not
) STRICT;

-- Counts a folder, kept by the triggers below so that the status never counts rows.
CREATE TABLE tally (
  folder         INTEGER PRIMARY KEY REFERENCES folder (id) ON DELETE CASCADE,
  files          INTEGER NOT NULL DEFAULT 0,  -- rows of base
  bytes          INTEGER NOT NULL DEFAULT 0,  -- their sizes
  due            INTEGER NOT NULL DEFAULT 0,  -- rows of job by state
  claimed        INTEGER NOT NULL DEFAULT 0,
  staged         INTEGER NOT NULL DEFAULT 0,
  wedged         INTEGER NOT NULL DEFAULT 0,
  failing        INTEGER NOT NULL DEFAULT 0,  -- rows of job with a failure that are not wedged
  pending_bytes  INTEGER NOT NULL DEFAULT 0,  -- sizes of the jobs that are not wedged
  staged_uploads INTEGER NOT NULL DEFAULT 0,  -- rows of change by kind
  staged_deletes INTEGER NOT NULL DEFAULT 0,
  odd            INTEGER NOT NULL DEFAULT 0,  -- rows of odd
  conflicts      INTEGER NOT NULL DEFAULT 0,  -- rows of conflict
  last_synced_at INTEGER                      -- when a path was last settled in sync
) STRICT;

CREATE TRIGGER folder_added AFTER INSERT ON folder BEGIN
  INSERT INTO tally (folder) VALUES (NEW.id);
END;

-- Directories that hold files of base directly. A row goes with its last file.
CREATE TABLE dir (
  id     INTEGER PRIMARY KEY,
  folder INTEGER NOT NULL REFERENCES folder (id),
  path   TEXT NOT NULL,         -- '' is the folder's root
  UNIQUE (folder, path)
) STRICT;

-- What disk and Dropbox last agreed on, one row a file.
CREATE TABLE base (
  dir          INTEGER NOT NULL REFERENCES dir (id),
  name         TEXT NOT NULL,
  size         INTEGER NOT NULL,
  mtime_ns     INTEGER NOT NULL,
  ctime_ns     INTEGER NOT NULL,
  ino          INTEGER NOT NULL, -- the 64 bits of the number, read as signed
  dev          INTEGER NOT NULL, -- likewise
  content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
  rev          TEXT NOT NULL,
  remote       TEXT,             -- where it lies in Dropbox, when that is not the path's own place
  file_id      TEXT,             -- Dropbox's id of the file: one remote file has one row, however its local name is cased or composed
  synced_at    INTEGER NOT NULL,
  PRIMARY KEY (dir, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX base_file_id ON base (file_id) WHERE file_id IS NOT NULL;

CREATE TRIGGER base_added AFTER INSERT ON base BEGIN
  UPDATE tally SET files = files + 1, bytes = bytes + NEW.size
   WHERE folder = (SELECT folder FROM dir WHERE id = NEW.dir);
END;
CREATE TRIGGER base_changed AFTER UPDATE OF size ON base WHEN OLD.size <> NEW.size BEGIN
  UPDATE tally SET bytes = bytes + NEW.size - OLD.size
   WHERE folder = (SELECT folder FROM dir WHERE id = NEW.dir);
END;
CREATE TRIGGER base_removed AFTER DELETE ON base BEGIN
  UPDATE tally SET files = files - 1, bytes = bytes - OLD.size
   WHERE folder = (SELECT folder FROM dir WHERE id = OLD.dir);
  DELETE FROM dir WHERE id = OLD.dir AND NOT EXISTS (SELECT 1 FROM base WHERE dir = OLD.dir);
END;

-- The queue: "look at this path again". Numbers are never used twice.
CREATE TABLE job (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  folder     INTEGER NOT NULL REFERENCES folder (id),
  path       TEXT NOT NULL,
  generation INTEGER NOT NULL,   -- changes seen; a settled row goes only if none was seen meanwhile
  state      TEXT NOT NULL CHECK (state IN ('due', 'claimed', 'staged', 'wedged')),
  size       INTEGER NOT NULL,   -- as last seen, for packing and progress only
  since      INTEGER NOT NULL,   -- when the path was first seen changed since it was last in sync
  due_at     INTEGER NOT NULL,   -- not before
  attempts   INTEGER NOT NULL DEFAULT 0,
  code       TEXT,               -- the last failure's word and sentence; both NULL when there is none
  text       TEXT,
  UNIQUE (folder, path),
  CHECK ((code IS NULL) = (text IS NULL)),
  CHECK (state <> 'wedged' OR code IS NOT NULL)
) STRICT;
-- For claiming, oldest first, a folder at a time so that a paused folder costs nothing.
CREATE INDEX job_due ON job (folder, due_at, size) WHERE state = 'due';
-- For listing problems by path.
CREATE INDEX job_problem ON job (folder, path) WHERE code IS NOT NULL;

CREATE TRIGGER job_added AFTER INSERT ON job BEGIN
  UPDATE tally SET
    due = due + (NEW.state = 'due'), claimed = claimed + (NEW.state = 'claimed'),
    staged = staged + (NEW.state = 'staged'), wedged = wedged + (NEW.state = 'wedged'),
    failing = failing + (NEW.code IS NOT NULL AND NEW.state <> 'wedged'),
    pending_bytes = pending_bytes + iif(NEW.state = 'wedged', 0, NEW.size)
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_changed AFTER UPDATE OF state, size, code ON job
WHEN OLD.state <> NEW.state OR OLD.size <> NEW.size OR (OLD.code IS NULL) <> (NEW.code IS NULL) BEGIN
  UPDATE tally SET
    due = due + (NEW.state = 'due') - (OLD.state = 'due'),
    claimed = claimed + (NEW.state = 'claimed') - (OLD.state = 'claimed'),
    staged = staged + (NEW.state = 'staged') - (OLD.state = 'staged'),
    wedged = wedged + (NEW.state = 'wedged') - (OLD.state = 'wedged'),
    failing = failing + (NEW.code IS NOT NULL AND NEW.state <> 'wedged') - (OLD.code IS NOT NULL AND OLD.state <> 'wedged'),
    pending_bytes = pending_bytes + iif(NEW.state = 'wedged', 0, NEW.size) - iif(OLD.state = 'wedged', 0, OLD.size)
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
  UPDATE tally SET
    due = due - (OLD.state = 'due'), claimed = claimed - (OLD.state = 'claimed'),
    staged = staged - (OLD.state = 'staged'), wedged = wedged - (OLD.state = 'wedged'),
    failing = failing - (OLD.code IS NOT NULL AND OLD.state <> 'wedged'),
    pending_bytes = pending_bytes - iif(OLD.state = 'wedged', 0, OLD.size)
  WHERE folder = OLD.folder;
END;

-- Commits whose call was decided: written before the call.
CREATE TABLE batch (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  kind         TEXT NOT NULL CHECK (kind IN ('upload', 'delete')),
  async_job_id TEXT,             -- the server's job, once known
  created_at   INTEGER NOT NULL
) STRICT;

-- Changes to Dropbox's tree that wait for their commit, one a staged job.
CREATE TABLE change (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  job          INTEGER NOT NULL UNIQUE REFERENCES job (id) ON DELETE CASCADE,
  folder       INTEGER NOT NULL REFERENCES folder (id), -- the job's, for finding and counting
  kind         TEXT NOT NULL CHECK (kind IN ('upload', 'delete')),
  generation   INTEGER NOT NULL, -- the job's when the views were read
  to_path      TEXT NOT NULL,    -- the remote path it touches
  rev          TEXT,             -- the revision that must still be there; NULL in an upload: only where nothing is
  session      TEXT,             -- uploads only, from here to content_hash: the closed session that holds the bytes
  size         INTEGER NOT NULL DEFAULT 0, -- bytes in it; 0 in a delete
  mtime_ns     INTEGER,          -- the file as it was while it was read
  ctime_ns     INTEGER,
  ino          INTEGER,
  dev          INTEGER,
  read_size    INTEGER,          -- that file's size
  content_hash BLOB,             -- of the bytes sent
  attempts     INTEGER NOT NULL DEFAULT 0,
  created_at   INTEGER NOT NULL,
  not_before   INTEGER NOT NULL,
  batch        INTEGER REFERENCES batch (id),  -- NULL: in none
  pos          INTEGER,          -- its place among the batch's entries, from 0
  CHECK ((batch IS NULL) = (pos IS NULL)),
  CHECK (kind = 'delete' AND rev IS NOT NULL OR kind = 'upload' AND session IS NOT NULL AND length(content_hash) = 32)
) STRICT;
CREATE INDEX change_ready ON change (kind, folder, not_before) WHERE batch IS NULL;
CREATE UNIQUE INDEX change_batch ON change (batch, pos) WHERE batch IS NOT NULL;
CREATE INDEX change_folder ON change (folder);

CREATE TRIGGER change_added AFTER INSERT ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads + (NEW.kind = 'upload'), staged_deletes = staged_deletes + (NEW.kind = 'delete')
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER change_removed AFTER DELETE ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads - (OLD.kind = 'upload'), staged_deletes = staged_deletes - (OLD.kind = 'delete')
  WHERE folder = OLD.folder;
END;

-- Upload sessions that were opened ahead and not used yet.
CREATE TABLE session (
  id      TEXT NOT NULL PRIMARY KEY,
  born_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_age ON session (born_at);

-- Calls that count against a team's data-transport limit.
CREATE TABLE transport (
  month TEXT NOT NULL,           -- '2026-11', UTC
  route TEXT NOT NULL,
  calls INTEGER NOT NULL,
  PRIMARY KEY (month, route)
) STRICT, WITHOUT ROWID;

-- Deletions that were made in Dropbox over the last day, for the guard.
CREATE TABLE deletion (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  at     INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  PRIMARY KEY (folder, at)
) STRICT, WITHOUT ROWID;

-- Conflicted copies that were made and are not resolved.
CREATE TABLE conflict (
  folder INTEGER NOT NULL REFERENCES folder (id),
  path   TEXT NOT NULL,
  copy   TEXT NOT NULL,          -- the remote path of the copy
  at     INTEGER NOT NULL,
  PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER conflict_added AFTER INSERT ON conflict BEGIN
  UPDATE tally SET conflicts = conflicts + 1 WHERE folder = NEW.folder;
END;
CREATE TRIGGER conflict_removed AFTER DELETE ON conflict BEGIN
  UPDATE tally SET conflicts = conflicts - 1 WHERE folder = OLD.folder;
END;

-- What a scan met and cannot sync: names that Dropbox cannot hold, and their like.
CREATE TABLE odd (
  folder    INTEGER NOT NULL REFERENCES folder (id),
  dir       TEXT NOT NULL,       -- the directory it lies in
  path_text TEXT NOT NULL,       -- for people: it need not be a path of ours
  code      TEXT NOT NULL,
  text      TEXT NOT NULL,
  since     INTEGER NOT NULL,
  PRIMARY KEY (folder, dir, path_text)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER odd_added AFTER INSERT ON odd BEGIN
  UPDATE tally SET odd = odd + 1 WHERE folder = NEW.folder;
END;
CREATE TRIGGER odd_removed AFTER DELETE ON odd BEGIN
  UPDATE tally SET odd = odd - 1 WHERE folder = OLD.folder;
END;
