-- What was done, newest last: a log for people, cut off at its beginning. Numbers only order it.
CREATE TABLE history (
  id     INTEGER PRIMARY KEY,
  folder INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
  path   TEXT NOT NULL,
  what   TEXT NOT NULL,          -- uploaded, deleted, adopted, conflict, ...
  size   INTEGER,                -- bytes of the file; NULL where there is none
  rev    TEXT,                   -- Dropbox's revision that it is about; NULL where there is none
  place  TEXT,                   -- the other path that it concerns: a copy's, or where a move came from; NULL: none
  at     INTEGER NOT NULL
) STRICT;
