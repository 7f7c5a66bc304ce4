-- The memory of one account, read from top to bottom: folders, what both sides agreed on, the queue, changes on their way to a commit,
-- the cache of Dropbox's listings, and what people are told.
--
-- Times are milliseconds since 1970 UTC unless a name ends in _ns; sizes are bytes; truth values are 0 and 1. Paths below a folder have no leading
-- slash and keep the letters of the disk ('' is the folder's root). A `dev` and an `ino` are the 64 bits of an unsigned number, read as signed.
-- Kinds are words that the Rust code knows: one that it does not know is reported as damage where it is read.
-- Numbers with AUTOINCREMENT are never used twice, so that a late report cannot hit another row.

PRAGMA application_id = 0x46626f78; -- "Fbox"

-- What is known of the account as a whole: one row.
CREATE TABLE account (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  clean        INTEGER NOT NULL DEFAULT 0, -- 1: the last process closed the database; 0: it is open, or was when the process died
  account_id   TEXT,              -- Dropbox's id of the account, once it has said it: another account's credentials are refused
  namespace    TEXT,              -- the namespace that paths were in at the last start; NULL: never asked
  paused_since INTEGER,           -- when a person paused the account; NULL: it is not paused
  paused_until INTEGER,           -- when that ends; NULL: when somebody says so
  ceilings     TEXT,              -- what one call was learned to take, as the JSON of `Ceilings`; NULL: nothing yet
  CHECK (paused_since IS NOT NULL OR paused_until IS NULL)
) STRICT;
INSERT INTO account (id) VALUES (1);

---------------------------------------------------------------------------------------------------------------------------------------------------
-- Folders
---------------------------------------------------------------------------------------------------------------------------------------------------

-- A local directory and the remote path it is synced with.
CREATE TABLE folder (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  local     TEXT NOT NULL UNIQUE,
  remote    TEXT NOT NULL,
  mode      TEXT NOT NULL,
  root_id   TEXT,                 -- the root's identity on the disk; NULL until both sides have met
  remote_id TEXT,                 -- Dropbox's id of the remote folder, once a listing has shown it; NULL: never seen. A folder of another id at
                                  -- its path is another folder
  remote_lost INTEGER NOT NULL DEFAULT 0, -- 1: the remote folder was gone, or another one, when it was last looked at
  -- What database and root remember of each other; written each time that the root is found.
  place     TEXT,                 -- the path at which the root was met, links resolved, so that a disk that is not mounted is waited for
  dev       INTEGER,              -- the root's device and inode
  ino       INTEGER,
  run_mark  TEXT,                 -- the mark that the last run wrote into the root; an older copy of either side has another one
  next_mark TEXT,                 -- the mark that was about to be written: a crash may have left either in the root
  emptied   INTEGER NOT NULL DEFAULT 0, -- 1: the root was seen without its marker since both sides last met
  rules     TEXT,                 -- what the configuration ignores and excludes, as JSON, when what it hides was last forgotten; NULL: never
  trash_ms  INTEGER,              -- for how long the local trash was under this program's eyes, and the wall clock when that was counted
  trash_at  INTEGER,
  -- Deletions that wait for a person.
  held_since INTEGER,             -- when they were first held; NULL: none are
  held_salt TEXT,                 -- a random word that their token is made with, so that no token serves twice
  held_all  INTEGER,              -- so many files at most were all that the folder had; NULL: they are held for their number
  approved_upto INTEGER,          -- a person has agreed to the staged deletions with numbers up to this one; NULL: to none
  CHECK ((held_since IS NULL) = (held_salt IS NULL)),
  CHECK (held_since IS NOT NULL OR held_all IS NULL),
  CHECK ((trash_ms IS NULL) = (trash_at IS NULL) AND coalesce(trash_ms, 0) >= 0)
) STRICT;

-- Files that may go from the disk without being asked about by the guard for deletions: they went in Dropbox, and that was weighed there. A row is
-- written with the word that the comparison is under way, and goes when none of the folder's deletions wait any more.
CREATE TABLE consent (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  file   INTEGER NOT NULL,        -- a digest of the path and of the revision that it is about: the 64 bits of a number, read as signed
  moved  INTEGER NOT NULL,        -- 0: a person has agreed; 1: the file is in another listing of the account by now
  PRIMARY KEY (folder, file, moved)
) STRICT, WITHOUT ROWID;

-- Files of patterns that came down from Dropbox, until a person saves them here. Written before the file is in its place.
CREATE TABLE ignore_file_arrival (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  path   TEXT NOT NULL,
  PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;

-- Counts for each folder, kept by triggers so that the status never counts rows. They are compared with the rows when the database is opened.
-- A server may lie about sizes: a sum of bytes that reaches the end of what a number holds stays there until it is counted again at the next opening.
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
  up             INTEGER NOT NULL DEFAULT 0,  -- rows of job that are due or claimed and have bytes, by who tells of them: this side alone
  up_bytes       INTEGER NOT NULL DEFAULT 0,
  down           INTEGER NOT NULL DEFAULT 0,  -- Dropbox alone
  down_bytes     INTEGER NOT NULL DEFAULT 0,
  both           INTEGER NOT NULL DEFAULT 0,  -- both sides: the two are compared
  both_bytes     INTEGER NOT NULL DEFAULT 0,
  other_here     INTEGER NOT NULL DEFAULT 0,  -- those without bytes (deletions, directories, empty files): told of here
  other_there    INTEGER NOT NULL DEFAULT 0,  -- told of by Dropbox alone
  gone           INTEGER NOT NULL DEFAULT 0,  -- rows of job for files that Dropbox no longer has and that wait for a person ('gone_in_dropbox')
  gone_bytes     INTEGER NOT NULL DEFAULT 0,
  staged_uploads INTEGER NOT NULL DEFAULT 0,  -- rows of change that are no deletion
  staged_deletes INTEGER NOT NULL DEFAULT 0,  -- rows of change that delete, on either side: what the guard counts
  staged_here    INTEGER NOT NULL DEFAULT 0,  -- of those, the ones that are made on this disk
  odd            INTEGER NOT NULL DEFAULT 0,  -- rows of odd
  conflicts      INTEGER NOT NULL DEFAULT 0,  -- rows of conflict
  last_synced_at INTEGER                      -- when a path was last settled in sync
) STRICT;

CREATE TRIGGER folder_added AFTER INSERT ON folder BEGIN
  INSERT INTO tally (folder) VALUES (NEW.id);
END;

-- Deletions that were made in Dropbox over the last day, for the guard.
CREATE TABLE deletion (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  at     INTEGER NOT NULL,
  n      INTEGER NOT NULL,
  PRIMARY KEY (folder, at)
) STRICT, WITHOUT ROWID;

---------------------------------------------------------------------------------------------------------------------------------------------------
-- Base: what both sides agreed on
---------------------------------------------------------------------------------------------------------------------------------------------------

-- Directories that hold files of base directly. A row goes with its last file.
CREATE TABLE dir (
  id     INTEGER PRIMARY KEY,
  folder INTEGER NOT NULL REFERENCES folder (id),
  path   TEXT NOT NULL,
  UNIQUE (folder, path)
) STRICT;

-- What disk and Dropbox last agreed on, one row for each file.
CREATE TABLE base (
  dir          INTEGER NOT NULL REFERENCES dir (id),
  name         TEXT NOT NULL,
  size         INTEGER NOT NULL,
  mtime_ns     INTEGER NOT NULL,
  ctime_ns     INTEGER NOT NULL,
  ino          INTEGER NOT NULL,
  dev          INTEGER NOT NULL,
  content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
  rev          TEXT NOT NULL,
  remote       TEXT,             -- where it lies in Dropbox, when that is not the path's own place
  file_id      TEXT,             -- Dropbox's id of the file: one remote file has one row, however its local name is cased or composed
  synced_at    INTEGER NOT NULL,
  moved        INTEGER NOT NULL DEFAULT 0, -- 1: the file was moved with its directory, and its revision there is not known yet
  PRIMARY KEY (dir, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX base_file_id ON base (file_id) WHERE file_id IS NOT NULL;
-- Which file of base an inode was: a new path with an old inode is that file, moved.
CREATE INDEX base_ino ON base (ino);
-- Which files of base have this content. Only those that are worth a copy (`Relocation::SMALLEST_ALIKE`): a tree of small files pays nothing.
CREATE INDEX base_content ON base (size, content_hash) WHERE size >= 1048576;

CREATE TRIGGER base_added AFTER INSERT ON base BEGIN
  UPDATE tally SET files = files + 1, bytes = min(9223372036854775807, bytes + NEW.size)
   WHERE folder = (SELECT folder FROM dir WHERE id = NEW.dir);
END;
CREATE TRIGGER base_changed AFTER UPDATE OF size ON base WHEN OLD.size <> NEW.size BEGIN
  UPDATE tally SET bytes = iif(bytes = 9223372036854775807, bytes, min(9223372036854775807, bytes - OLD.size + NEW.size))
   WHERE folder = (SELECT folder FROM dir WHERE id = NEW.dir);
END;
CREATE TRIGGER base_removed AFTER DELETE ON base BEGIN
  UPDATE tally SET files = files - 1, bytes = iif(bytes = 9223372036854775807, bytes, bytes - OLD.size)
   WHERE folder = (SELECT folder FROM dir WHERE id = OLD.dir);
  DELETE FROM dir WHERE id = OLD.dir AND NOT EXISTS (SELECT 1 FROM base WHERE dir = OLD.dir);
END;

-- Directories that disk and Dropbox agreed on; only in folders whose remote changes come down.
CREATE TABLE base_dir (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  parent TEXT NOT NULL,
  name   TEXT NOT NULL,
  ino    INTEGER NOT NULL,       -- 0: not known, and so is dev
  dev    INTEGER NOT NULL,
  PRIMARY KEY (folder, parent, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX base_dir_ino ON base_dir (ino);

-- Paths whose key in Dropbox (path_lower) is not the one that we would guess from their name, as Dropbox said when it committed them.
CREATE TABLE odd_key (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  path   TEXT NOT NULL,
  key    TEXT NOT NULL,
  PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;

-- What files hold that were read and are not in base, so that no file is read twice when both sides meet again. One row for each inode.
CREATE TABLE hash_cache (
  dev          INTEGER NOT NULL,
  ino          INTEGER NOT NULL,
  size         INTEGER NOT NULL,
  mtime_ns     INTEGER NOT NULL,
  ctime_ns     INTEGER NOT NULL,
  content_hash BLOB NOT NULL,
  at           INTEGER NOT NULL,    -- when it was noted
  PRIMARY KEY (dev, ino)
) STRICT, WITHOUT ROWID;

---------------------------------------------------------------------------------------------------------------------------------------------------
-- The queue
---------------------------------------------------------------------------------------------------------------------------------------------------

-- "Look at this path again": one row for each path, whatever tells of it.
CREATE TABLE job (
  id               INTEGER PRIMARY KEY AUTOINCREMENT,
  folder           INTEGER NOT NULL REFERENCES folder (id),
  path             TEXT NOT NULL,
  generation       INTEGER NOT NULL,   -- changes seen; a settled row goes only if none was seen meanwhile
  -- The four states of a row's life. A row in a fifth would be counted by no trigger and claimed by no worker: that is why they are listed here.
  state            TEXT NOT NULL CHECK (state IN ('due', 'claimed', 'staged', 'wedged')),
  size             INTEGER NOT NULL,   -- as last seen, for packing and progress only; 0: gone, a directory or empty
  since            INTEGER NOT NULL,   -- when the path was first seen changed since it was last in sync
  due_at           INTEGER NOT NULL,   -- not before
  attempts         INTEGER NOT NULL DEFAULT 0,
  code             TEXT,               -- the last failure's word and sentence; both NULL when there is none
  text             TEXT,
  burst            INTEGER NOT NULL DEFAULT 0, -- when the unbroken run of changes began that the row waits out, so that a path that is never quiet
                                       -- is looked at all the same; 0: Dropbox told of it
  seen             INTEGER NOT NULL DEFAULT 1, -- who tells of the path: bits, 1 this side, 2 Dropbox; 3: the two are to be compared
  refused_at       INTEGER,            -- when Dropbox refused the file, and the file as it was then: a wedged row whose file is still the same is
  refused_size     INTEGER,            -- left alone by scans. All six NULL where the row was wedged for another reason
  refused_mtime_ns INTEGER,
  refused_ctime_ns INTEGER,
  refused_ino      INTEGER,
  refused_dev      INTEGER,
  UNIQUE (folder, path),
  CHECK ((code IS NULL) = (text IS NULL)),
  CHECK (state <> 'wedged' OR code IS NOT NULL)
) STRICT;
-- For claiming, oldest first, a folder at a time so that a paused folder costs nothing.
CREATE INDEX job_due ON job (folder, due_at, size) WHERE state = 'due';
-- For listing problems by path.
CREATE INDEX job_problem ON job (folder, path) WHERE code IS NOT NULL;

-- Counts by state.
CREATE TRIGGER job_added AFTER INSERT ON job BEGIN
  UPDATE tally SET
    due = due + (NEW.state = 'due'), claimed = claimed + (NEW.state = 'claimed'),
    staged = staged + (NEW.state = 'staged'), wedged = wedged + (NEW.state = 'wedged'),
    failing = failing + (NEW.code IS NOT NULL AND NEW.state <> 'wedged'),
    pending_bytes = min(9223372036854775807, pending_bytes + iif(NEW.state = 'wedged', 0, NEW.size))
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
    pending_bytes = iif(pending_bytes = 9223372036854775807, pending_bytes,
        min(9223372036854775807, pending_bytes - iif(OLD.state = 'wedged', 0, OLD.size) + iif(NEW.state = 'wedged', 0, NEW.size)))
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
  UPDATE tally SET
    due = due - (OLD.state = 'due'), claimed = claimed - (OLD.state = 'claimed'),
    staged = staged - (OLD.state = 'staged'), wedged = wedged - (OLD.state = 'wedged'),
    failing = failing - (OLD.code IS NOT NULL AND OLD.state <> 'wedged'),
    pending_bytes = iif(pending_bytes = 9223372036854775807, pending_bytes,
        pending_bytes - iif(OLD.state = 'wedged', 0, OLD.size))
  WHERE folder = OLD.folder;
END;

-- Counts by direction, of rows that are due or claimed.
CREATE TRIGGER job_seen_added AFTER INSERT ON job WHEN NEW.state IN ('due', 'claimed') BEGIN
  UPDATE tally SET
    up = up + (NEW.size > 0 AND NEW.seen = 1), up_bytes = max(0, min(9223372036854775807, up_bytes + iif(NEW.seen = 1, NEW.size, 0))),
    down = down + (NEW.size > 0 AND NEW.seen = 2), down_bytes = max(0, min(9223372036854775807, down_bytes + iif(NEW.seen = 2, NEW.size, 0))),
    both = both + (NEW.size > 0 AND NEW.seen = 3), both_bytes = max(0, min(9223372036854775807, both_bytes + iif(NEW.seen = 3, NEW.size, 0))),
    other_here = other_here + (NEW.size = 0 AND NEW.seen <> 2), other_there = other_there + (NEW.size = 0 AND NEW.seen = 2)
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_seen_changed AFTER UPDATE OF state, size, seen ON job
WHEN (OLD.state IN ('due', 'claimed')) <> (NEW.state IN ('due', 'claimed')) OR OLD.size <> NEW.size OR OLD.seen <> NEW.seen BEGIN
  UPDATE tally SET
    up = up + (NEW.state IN ('due', 'claimed') AND NEW.size > 0 AND NEW.seen = 1)
            - (OLD.state IN ('due', 'claimed') AND OLD.size > 0 AND OLD.seen = 1),
    up_bytes = max(0, min(9223372036854775807, up_bytes + iif(NEW.state IN ('due', 'claimed') AND NEW.seen = 1, NEW.size, 0)
                        - iif(OLD.state IN ('due', 'claimed') AND OLD.seen = 1, OLD.size, 0))),
    down = down + (NEW.state IN ('due', 'claimed') AND NEW.size > 0 AND NEW.seen = 2)
                - (OLD.state IN ('due', 'claimed') AND OLD.size > 0 AND OLD.seen = 2),
    down_bytes = max(0, min(9223372036854775807, down_bytes + iif(NEW.state IN ('due', 'claimed') AND NEW.seen = 2, NEW.size, 0)
                            - iif(OLD.state IN ('due', 'claimed') AND OLD.seen = 2, OLD.size, 0))),
    both = both + (NEW.state IN ('due', 'claimed') AND NEW.size > 0 AND NEW.seen = 3)
                - (OLD.state IN ('due', 'claimed') AND OLD.size > 0 AND OLD.seen = 3),
    both_bytes = max(0, min(9223372036854775807, both_bytes + iif(NEW.state IN ('due', 'claimed') AND NEW.seen = 3, NEW.size, 0)
                            - iif(OLD.state IN ('due', 'claimed') AND OLD.seen = 3, OLD.size, 0))),
    other_here = other_here + (NEW.state IN ('due', 'claimed') AND NEW.size = 0 AND NEW.seen <> 2)
                            - (OLD.state IN ('due', 'claimed') AND OLD.size = 0 AND OLD.seen <> 2),
    other_there = other_there + (NEW.state IN ('due', 'claimed') AND NEW.size = 0 AND NEW.seen = 2)
                              - (OLD.state IN ('due', 'claimed') AND OLD.size = 0 AND OLD.seen = 2)
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_seen_removed AFTER DELETE ON job WHEN OLD.state IN ('due', 'claimed') BEGIN
  UPDATE tally SET
    up = up - (OLD.size > 0 AND OLD.seen = 1), up_bytes = max(0, min(9223372036854775807, up_bytes - iif(OLD.seen = 1, OLD.size, 0))),
    down = down - (OLD.size > 0 AND OLD.seen = 2), down_bytes = max(0, min(9223372036854775807, down_bytes - iif(OLD.seen = 2, OLD.size, 0))),
    both = both - (OLD.size > 0 AND OLD.seen = 3), both_bytes = max(0, min(9223372036854775807, both_bytes - iif(OLD.seen = 3, OLD.size, 0))),
    other_here = other_here - (OLD.size = 0 AND OLD.seen <> 2), other_there = other_there - (OLD.size = 0 AND OLD.seen = 2)
  WHERE folder = OLD.folder;
END;

-- Files that Dropbox no longer has. No row is born with a failure.
CREATE TRIGGER job_gone_changed AFTER UPDATE OF code, size ON job
WHEN OLD.code IS 'gone_in_dropbox' OR NEW.code IS 'gone_in_dropbox' BEGIN
  UPDATE tally SET
    gone = gone + (NEW.code IS 'gone_in_dropbox') - (OLD.code IS 'gone_in_dropbox'),
    gone_bytes = max(0, min(9223372036854775807, gone_bytes + iif(NEW.code IS 'gone_in_dropbox', NEW.size, 0) - iif(OLD.code IS 'gone_in_dropbox', OLD.size, 0)))
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_gone_removed AFTER DELETE ON job WHEN OLD.code IS 'gone_in_dropbox' BEGIN
  UPDATE tally SET gone = gone - 1, gone_bytes = max(0, min(9223372036854775807, gone_bytes - OLD.size)) WHERE folder = OLD.folder;
END;

-- Uploads under way, one for each job: which session holds which bytes. Written before the bytes are sent, gone when the change is staged.
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

-- Revisions that are about to be put in their place here: a file that a kill left there, before its row was settled, is known to be Dropbox's and no
-- edit. Written before the file, gone when the path's row is settled.
CREATE TABLE install_intent (
  folder       INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  path         TEXT NOT NULL,
  content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
  rev          TEXT NOT NULL,
  file_id      TEXT NOT NULL,    -- Dropbox's id of the file
  PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;

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

---------------------------------------------------------------------------------------------------------------------------------------------------
-- The lane: changes on their way to a commit
---------------------------------------------------------------------------------------------------------------------------------------------------

-- Commits whose call was decided: written before the call.
CREATE TABLE batch (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  kind         TEXT NOT NULL,    -- as in change
  async_job_id TEXT,             -- the server's job, once known
  created_at   INTEGER NOT NULL,
  entries      INTEGER NOT NULL DEFAULT 0 -- of the call: where a folder was dropped meanwhile, fewer changes are left, but the job must come to its
                                 -- end before another batch begins
) STRICT;

-- Changes of Dropbox's tree (or, as 'trash', of this disk) that wait for their commit, one for each staged job.
CREATE TABLE change (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  job          INTEGER NOT NULL UNIQUE REFERENCES job (id) ON DELETE CASCADE,
  folder       INTEGER NOT NULL REFERENCES folder (id), -- the job's, for finding and counting
  kind         TEXT NOT NULL,    -- upload; folder: one is made in Dropbox; delete: a file there or, without a revision, a folder that is empty there;
                                 -- trash: a file goes to the local trash or, without a revision, an empty directory goes; move; copy
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
  batch        INTEGER REFERENCES batch (id),  -- NULL: in none
  pos          INTEGER,          -- its place among the batch's entries, from 0
  from_path    TEXT,             -- moves and copies only, from here on: where it lies in Dropbox now
  source       TEXT,             -- the path below the folder that it had
  file_id      TEXT,             -- Dropbox's id of the file
  via          TEXT,             -- it goes to this remote path first; NULL: straight on, or it has got there
  halfway      INTEGER NOT NULL DEFAULT 0, -- 1: it has got there, and must go on
  alike        INTEGER NOT NULL DEFAULT 0, -- 1: a copy from a file that has the same content. It touches nothing but its own new place, as an
                                 -- upload does: nothing else waits for it
  CHECK ((batch IS NULL) = (pos IS NULL)),
  CHECK (kind <> 'upload' OR session IS NOT NULL AND length(content_hash) = 32),
  CHECK (kind NOT IN ('move', 'copy') OR from_path IS NOT NULL AND source IS NOT NULL)
) STRICT;
CREATE INDEX change_ready ON change (kind, folder, not_before) WHERE batch IS NULL;
CREATE UNIQUE INDEX change_batch ON change (batch, pos) WHERE batch IS NOT NULL;
CREATE INDEX change_folder ON change (folder);
-- While a folder's files change places, nothing else is decided there.
CREATE INDEX change_move ON change (folder) WHERE kind IN ('move', 'copy') AND alike = 0;

CREATE TRIGGER change_added AFTER INSERT ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads + (NEW.kind NOT IN ('delete', 'trash')),
                   staged_deletes = staged_deletes + (NEW.kind IN ('delete', 'trash')),
                   staged_here = staged_here + (NEW.kind = 'trash') WHERE folder = NEW.folder;
END;
CREATE TRIGGER change_removed AFTER DELETE ON change BEGIN
  UPDATE tally SET staged_uploads = staged_uploads - (OLD.kind NOT IN ('delete', 'trash')),
                   staged_deletes = staged_deletes - (OLD.kind IN ('delete', 'trash')),
                   staged_here = staged_here - (OLD.kind = 'trash') WHERE folder = OLD.folder;
END;

---------------------------------------------------------------------------------------------------------------------------------------------------
-- The remote cache: what Dropbox's recursive listings say
---------------------------------------------------------------------------------------------------------------------------------------------------

-- One listing: a remote folder that is followed, and the two trees that it may have.
CREATE TABLE remote_listing (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  scope      TEXT NOT NULL UNIQUE, -- the remote folder as configured; '' is the account's root
  question   TEXT NOT NULL,        -- the other arguments of list_folder, as JSON: cursors of another question are of no use
  live       INTEGER,              -- the tree that readers see; NULL until a first listing was complete
  next       INTEGER,              -- the tree that is being listed: the first one, or the one after a reset; NULL: none
  held       TEXT,                 -- why the complete next tree is not believed; 'approved': a person lets it through; NULL: it is not held
  compare_at TEXT,                 -- base is being compared with the whole live tree, and this was the last row: 'dir/name'; NULL: it is not
  narrowed   INTEGER NOT NULL DEFAULT 0, -- 1: it is asked for less than before, and base has yet to let go of what its answer lacks
  elsewhere  INTEGER NOT NULL DEFAULT 0, -- 1: the live tree is another namespace's than the one that calls are made in
  unplaced   INTEGER NOT NULL DEFAULT 0, -- 1: an entry without a usable path was refused while the tree was being filled, so that what the tree
                                   -- lacks may be there all the same
  passing    INTEGER NOT NULL DEFAULT 0, -- 1: the comparison under way was let through, and may make its rows
  approved   TEXT,                 -- the token of the held changes that a person lets through; NULL: no word, or it was carried out
  recent     TEXT                  -- what came down lately, by folder, as JSON: many small waves count as a large one; NULL: nothing
) STRICT;

-- One tree.
CREATE TABLE remote_tree (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  listing    INTEGER,              -- NULL: no listing has it any more, and its rows are being freed
  cursor     TEXT,                 -- where it goes on; NULL: it must begin again
  running    INTEGER NOT NULL,     -- 1: the last page said that more is ready
  complete   INTEGER NOT NULL,     -- 1: a run of pages has ended once
  entries    INTEGER NOT NULL DEFAULT 0,
  pages      INTEGER NOT NULL DEFAULT 0,
  updated_at INTEGER NOT NULL
) STRICT;

-- Folders that have (or had) children. The way to every entry leads through here, so that what is taken out here is gone for every reader.
CREATE TABLE remote_dir (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  tree      INTEGER NOT NULL,
  path      TEXT NOT NULL,         -- the server's key, '' is the account's root
  entries   INTEGER NOT NULL DEFAULT 0, -- rows of remote_entry directly in it
  read_only INTEGER NOT NULL DEFAULT 0, -- how many of them are read-only
  UNIQUE (tree, path)
) STRICT;

CREATE TABLE remote_entry (
  dir      INTEGER NOT NULL,
  name     TEXT NOT NULL,          -- the last component of the server's key
  display  TEXT,                   -- as people write it; NULL: the same
  folder   INTEGER NOT NULL,       -- 1: a folder
  marks    INTEGER NOT NULL,       -- bits: 1 read-only, 2 shared, 4 not downloadable, 8 symlink
  id       TEXT NOT NULL,          -- without its 'id:'; '' for a parent that was never listed itself
  rev      TEXT,                   -- files only, from here to server_modified
  size     INTEGER,
  hash     BLOB,
  client_modified INTEGER,         -- seconds since 1970, for display
  server_modified INTEGER,
  members  INTEGER,                -- whether it has members of its own; NULL: not asked for
  more     TEXT,                   -- sharing_info and its like, as JSON; NULL: none
  alias    TEXT,                   -- what we would guess its name to be from its letters, where Dropbox folds them otherwise; NULL: the same
  PRIMARY KEY (dir, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX remote_entry_alias ON remote_entry (dir, alias) WHERE alias IS NOT NULL;

-- Folders that no reader can reach any more, with rows in remote_entry that are yet to be freed.
CREATE TABLE remote_gone (
  dir INTEGER PRIMARY KEY
) STRICT;

-- What the pages of the run under way have touched in a live tree; compared with base when the run has ended, so that a deletion and a new
-- entry of the same path are seen together.
CREATE TABLE remote_touched (
  listing INTEGER NOT NULL,
  path    TEXT NOT NULL,           -- as people write it
  below   INTEGER NOT NULL,        -- 1: everything below it, too
  key     TEXT NOT NULL DEFAULT '', -- the server's key of it
  PRIMARY KEY (listing, path)
) STRICT, WITHOUT ROWID;

-- Paths that Dropbox named as deleted, with everything below them, while its listing has a doubt (`unplaced`, or an entry refused above them).
CREATE TABLE remote_deleted (
  listing INTEGER NOT NULL REFERENCES remote_listing (id) ON DELETE CASCADE,
  key     TEXT NOT NULL,
  PRIMARY KEY (listing, key)
) STRICT, WITHOUT ROWID;

-- Entries that cannot be paths here, and why. For people.
CREATE TABLE remote_odd (
  listing INTEGER NOT NULL,
  text    TEXT NOT NULL,           -- the server's key, or what stands for it
  code    TEXT NOT NULL,
  why     TEXT NOT NULL,
  since   INTEGER NOT NULL,
  PRIMARY KEY (listing, text)
) STRICT, WITHOUT ROWID;

---------------------------------------------------------------------------------------------------------------------------------------------------
-- What people are told
---------------------------------------------------------------------------------------------------------------------------------------------------

-- Conflicted copies that were made and are not resolved.
CREATE TABLE conflict (
  folder INTEGER NOT NULL REFERENCES folder (id),
  path   TEXT NOT NULL,
  copy   TEXT NOT NULL,          -- the remote path of the copy
  at     INTEGER NOT NULL,
  aside  TEXT,                   -- where the local version moved to the copy: the copy's path below the folder, and the conflict lasts as long as
                                 -- the copy. NULL: the copy was made in Dropbox only, and the conflict lasts as long as base lies there
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

-- What was done, newest last: a log that is cut off at its beginning. Numbers only order it.
CREATE TABLE history (
  id     INTEGER PRIMARY KEY,
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  path   TEXT NOT NULL,
  what   TEXT NOT NULL,          -- the deed: uploaded, deleted, adopted, conflict, ...
  size   INTEGER,                -- bytes of the file; NULL where there is none
  rev    TEXT,                   -- Dropbox's revision that it is about; NULL where there is none
  place  TEXT,                   -- the other path that it concerns: a copy's, or where a move came from; NULL: none
  at     INTEGER NOT NULL
) STRICT;
