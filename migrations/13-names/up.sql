-- Names that Dropbox folds otherwise than we would are found by what we would have guessed; sums of sizes saturate.

-- What we would guess the entry's name to be from its letters, where it is another one; NULL: the same.
ALTER TABLE remote_entry ADD COLUMN alias TEXT;
CREATE INDEX remote_entry_alias ON remote_entry (dir, alias) WHERE alias IS NOT NULL;

-- The key of what was touched.
ALTER TABLE remote_touched ADD COLUMN key TEXT NOT NULL DEFAULT '';

-- Where there are letters beyond ASCII, everything is listed anew beside what is known: the entries of before have no alias.
UPDATE remote_tree SET listing = NULL WHERE id IN (SELECT next FROM remote_listing WHERE next IS NOT NULL);
UPDATE remote_listing SET next = NULL, held = NULL;
UPDATE remote_tree SET cursor = NULL, running = 0
 WHERE listing IS NOT NULL AND EXISTS (SELECT 1 FROM remote_entry WHERE name GLOB '*[^ -~]*' OR display GLOB '*[^ -~]*');

-- A server may lie about sizes: a sum that meets the end of what a number holds stays there until it is counted again, when the database is opened.
DROP TRIGGER base_added;
DROP TRIGGER base_changed;
DROP TRIGGER base_removed;
DROP TRIGGER job_added;
DROP TRIGGER job_changed;
DROP TRIGGER job_removed;

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

-- Those of the counts by direction, too.
DROP TRIGGER job_seen_added;
CREATE TRIGGER job_seen_added AFTER INSERT ON job WHEN NEW.state IN ('due', 'claimed') BEGIN
  UPDATE tally SET
    up = up + (NEW.size > 0 AND NEW.seen = 1), up_bytes = max(0, min(9223372036854775807, up_bytes + iif(NEW.seen = 1, NEW.size, 0))),
    down = down + (NEW.size > 0 AND NEW.seen = 2), down_bytes = max(0, min(9223372036854775807, down_bytes + iif(NEW.seen = 2, NEW.size, 0))),
    both = both + (NEW.size > 0 AND NEW.seen = 3), both_bytes = max(0, min(9223372036854775807, both_bytes + iif(NEW.seen = 3, NEW.size, 0))),
    other_here = other_here + (NEW.size = 0 AND NEW.seen <> 2), other_there = other_there + (NEW.size = 0 AND NEW.seen = 2)
  WHERE folder = NEW.folder;
END;
DROP TRIGGER job_seen_removed;
CREATE TRIGGER job_seen_removed AFTER DELETE ON job WHEN OLD.state IN ('due', 'claimed') BEGIN
  UPDATE tally SET
    up = up - (OLD.size > 0 AND OLD.seen = 1), up_bytes = max(0, min(9223372036854775807, up_bytes - iif(OLD.seen = 1, OLD.size, 0))),
    down = down - (OLD.size > 0 AND OLD.seen = 2), down_bytes = max(0, min(9223372036854775807, down_bytes - iif(OLD.seen = 2, OLD.size, 0))),
    both = both - (OLD.size > 0 AND OLD.seen = 3), both_bytes = max(0, min(9223372036854775807, both_bytes - iif(OLD.seen = 3, OLD.size, 0))),
    other_here = other_here - (OLD.size = 0 AND OLD.seen <> 2), other_there = other_there - (OLD.size = 0 AND OLD.seen = 2)
  WHERE folder = OLD.folder;
END;
DROP TRIGGER job_seen_changed;
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
DROP TRIGGER job_gone_changed;
CREATE TRIGGER job_gone_changed AFTER UPDATE OF code, size ON job
WHEN OLD.code IS 'gone_in_dropbox' OR NEW.code IS 'gone_in_dropbox' BEGIN
  UPDATE tally SET
    gone = gone + (NEW.code IS 'gone_in_dropbox') - (OLD.code IS 'gone_in_dropbox'),
    gone_bytes = max(0, min(9223372036854775807, gone_bytes + iif(NEW.code IS 'gone_in_dropbox', NEW.size, 0) - iif(OLD.code IS 'gone_in_dropbox', OLD.size, 0)))
  WHERE folder = NEW.folder;
END;
DROP TRIGGER job_gone_removed;
CREATE TRIGGER job_gone_removed AFTER DELETE ON job WHEN OLD.code IS 'gone_in_dropbox' BEGIN
  UPDATE tally SET gone = gone - 1, gone_bytes = max(0, min(9223372036854775807, gone_bytes - OLD.size)) WHERE folder = OLD.folder;
END;
