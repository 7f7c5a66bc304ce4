-- What files hold that were read and are not in base: so that a meeting that is made anew reads no file twice. One row an inode.
CREATE TABLE hash_cache (
  dev          INTEGER NOT NULL,
  ino          INTEGER NOT NULL,
  size         INTEGER NOT NULL,
  mtime_ns     INTEGER NOT NULL,
  ctime_ns     INTEGER NOT NULL,
  content_hash BLOB NOT NULL,
  at           INTEGER NOT NULL,    -- when it was noted, in ms
  PRIMARY KEY (dev, ino)
) STRICT, WITHOUT ROWID;
