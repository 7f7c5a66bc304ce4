-- A new file here whose content another file has in Dropbox is copied there.

-- Which files of base have this content. Only those that are worth it (`Relocation::SMALLEST_ALIKE`): a tree of small files pays nothing.
CREATE INDEX base_content ON base (size, content_hash) WHERE size >= 1048576;

-- 1: a copy from a file that has the same content. It touches nothing but its own new place, as an upload does: nothing else waits for it.
ALTER TABLE change ADD COLUMN alike INTEGER NOT NULL DEFAULT 0;
DROP INDEX change_move;
CREATE INDEX change_move ON change (folder) WHERE kind IN ('move', 'copy') AND alike = 0;
