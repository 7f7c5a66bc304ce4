-- Paths whose key in Dropbox (path_lower) is not the one that we would guess from their name, as Dropbox said when it committed them.
CREATE TABLE odd_key (
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  path   TEXT NOT NULL,          -- below the folder, as on the disk
  key    TEXT NOT NULL,
  PRIMARY KEY (folder, path)
) STRICT, WITHOUT ROWID;
