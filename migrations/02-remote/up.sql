-- The remote cache: what Dropbox's recursive listings say.

-- One listing: a remote folder that is followed, and the two trees that it may have.
CREATE TABLE remote_listing (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  scope      TEXT NOT NULL UNIQUE, -- the remote folder as configured; '' is the account's root
  question   TEXT NOT NULL,        -- the other arguments of list_folder, as JSON: cursors of another question are of no use
  live       INTEGER,              -- the tree that readers see; NULL until a first listing was complete
  next       INTEGER,              -- the tree that is being listed: the first one, or the one after a reset; NULL: none
  held       TEXT,                 -- why the complete next tree is not believed; NULL: it is not held
  compare_at TEXT                  -- base is being compared with the whole live tree, and this was the last row: 'dir/name'; NULL: it is not
) STRICT;

-- One tree. Numbers are never used twice.
CREATE TABLE remote_tree (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  listing    INTEGER,              -- NULL: nobody's any more, its rows are being freed
  cursor     TEXT,                 -- where it goes on; NULL: the folder is not there in Dropbox
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
  PRIMARY KEY (dir, name)
) STRICT, WITHOUT ROWID;

-- Folders that nobody can reach any more, with rows in remote_entry that are yet to be freed.
CREATE TABLE remote_gone (
  dir INTEGER PRIMARY KEY
) STRICT;

-- What the pages of the run under way have touched in a live tree; compared with base when the run has ended, so that a deletion and a new
-- entry of the same path are seen together.
CREATE TABLE remote_touched (
  listing INTEGER NOT NULL,
  path    TEXT NOT NULL,           -- as people write it
  below   INTEGER NOT NULL,        -- 1: everything below it, too
  PRIMARY KEY (listing, path)
) STRICT, WITHOUT ROWID;

-- Entries that cannot be paths here, and why. For people.
CREATE TABLE remote_odd (
  listing INTEGER NOT NULL,
  text    TEXT NOT NULL,
  code    TEXT NOT NULL,
  why     TEXT NOT NULL,
  since   INTEGER NOT NULL,
  PRIMARY KEY (listing, text)
) STRICT, WITHOUT ROWID;
