-- True counts for people: by direction, files apart from other changes, and without what Dropbox lacks.

-- Who tells of the path: bits, 1 this side, 2 Dropbox. Both: the two are to be compared.
ALTER TABLE job ADD COLUMN seen INTEGER NOT NULL DEFAULT 1;
UPDATE job SET seen = 2 WHERE burst = 0;

-- Rows of job that are due or claimed. With bytes: files that may go up, come down, or are to be compared; the others (deletions, directories,
-- empty files) by the side that tells of them.
ALTER TABLE tally ADD COLUMN up INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN up_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN down INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN down_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN both INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN both_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN other_here INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN other_there INTEGER NOT NULL DEFAULT 0;
-- Rows of change that are made on this disk.
ALTER TABLE tally ADD COLUMN staged_here INTEGER NOT NULL DEFAULT 0;
-- Files of base that Dropbox has no longer, and that wait for a person ('gone_in_dropbox').
ALTER TABLE tally ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN gone_bytes INTEGER NOT NULL DEFAULT 0;

UPDATE tally SET
  up = (SELECT count(*) FROM job WHERE folder = tally.folder AND state IN ('due', 'claimed') AND size > 0 AND seen = 1),
  up_bytes = (SELECT coalesce(sum(size), 0) FROM job WHERE folder = tally.folder AND state IN ('due', 'claimed') AND seen = 1),
  down = (SELECT count(*) FROM job WHERE folder = tally.folder AND state IN ('due', 'claimed') AND size > 0 AND seen = 2),
  down_bytes = (SELECT coalesce(sum(size), 0) FROM job WHERE folder = tally.folder AND state IN ('due', 'claimed') AND seen = 2),
  other_here = (SELECT count(*) FROM job WHERE folder = tally.folder AND state IN ('due', 'claimed') AND size = 0 AND seen <> 2),
  other_there = (SELECT count(*) FROM job WHERE folder = tally.folder AND state IN ('due', 'claimed') AND size = 0 AND seen = 2),
  staged_here = (SELECT count(*) FROM change WHERE folder = tally.folder AND kind = 'trash');

CREATE TRIGGER job_seen_added AFTER INSERT ON job WHEN NEW.state IN ('due', 'claimed') BEGIN
  UPDATE tally SET
    up = up + (NEW.size > 0 AND NEW.seen = 1), up_bytes = up_bytes + iif(NEW.seen = 1, NEW.size, 0),
    down = down + (NEW.size > 0 AND NEW.seen = 2), down_bytes = down_bytes + iif(NEW.seen = 2, NEW.size, 0),
    both = both + (NEW.size > 0 AND NEW.seen = 3), both_bytes = both_bytes + iif(NEW.seen = 3, NEW.size, 0),
    other_here = other_here + (NEW.size = 0 AND NEW.seen <> 2), other_there = other_there + (NEW.size = 0 AND NEW.seen = 2)
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_seen_removed AFTER DELETE ON job WHEN OLD.state IN ('due', 'claimed') BEGIN
  UPDATE tally SET
    up = up - (OLD.size > 0 AND OLD.seen = 1), up_bytes = up_bytes - iif(OLD.seen = 1, OLD.size, 0),
    down = down - (OLD.size > 0 AND OLD.seen = 2), down_bytes = down_bytes - iif(OLD.seen = 2, OLD.size, 0),
    both = both - (OLD.size > 0 AND OLD.seen = 3), both_bytes = both_bytes - iif(OLD.seen = 3, OLD.size, 0),
    other_here = other_here - (OLD.size = 0 AND OLD.seen <> 2), other_there = other_there - (OLD.size = 0 AND OLD.seen = 2)
  WHERE folder = OLD.folder;
END;
CREATE TRIGGER job_seen_changed AFTER UPDATE OF state, size, seen ON job
WHEN (OLD.state IN ('due', 'claimed')) <> (NEW.state IN ('due', 'claimed')) OR OLD.size <> NEW.size OR OLD.seen <> NEW.seen BEGIN
  UPDATE tally SET
    up = up + (NEW.state IN ('due', 'claimed') AND NEW.size > 0 AND NEW.seen = 1)
            - (OLD.state IN ('due', 'claimed') AND OLD.size > 0 AND OLD.seen = 1),
    up_bytes = up_bytes + iif(NEW.state IN ('due', 'claimed') AND NEW.seen = 1, NEW.size, 0)
                        - iif(OLD.state IN ('due', 'claimed') AND OLD.seen = 1, OLD.size, 0),
    down = down + (NEW.state IN ('due', 'claimed') AND NEW.size > 0 AND NEW.seen = 2)
                - (OLD.state IN ('due', 'claimed') AND OLD.size > 0 AND OLD.seen = 2),
    down_bytes = down_bytes + iif(NEW.state IN ('due', 'claimed') AND NEW.seen = 2, NEW.size, 0)
                            - iif(OLD.state IN ('due', 'claimed') AND OLD.seen = 2, OLD.size, 0),
    both = both + (NEW.state IN ('due', 'claimed') AND NEW.size > 0 AND NEW.seen = 3)
                - (OLD.state IN ('due', 'claimed') AND OLD.size > 0 AND OLD.seen = 3),
    both_bytes = both_bytes + iif(NEW.state IN ('due', 'claimed') AND NEW.seen = 3, NEW.size, 0)
                            - iif(OLD.state IN ('due', 'claimed') AND OLD.seen = 3, OLD.size, 0),
    other_here = other_here + (NEW.state IN ('due', 'claimed') AND NEW.size = 0 AND NEW.seen <> 2)
                            - (OLD.state IN ('due', 'claimed') AND OLD.size = 0 AND OLD.seen <> 2),
    other_there = other_there + (NEW.state IN ('due', 'claimed') AND NEW.size = 0 AND NEW.seen = 2)
                              - (OLD.state IN ('due', 'claimed') AND OLD.size = 0 AND OLD.seen = 2)
  WHERE folder = NEW.folder;
END;

CREATE TRIGGER job_gone_changed AFTER UPDATE OF code, size ON job
WHEN OLD.code IS 'gone_in_dropbox' OR NEW.code IS 'gone_in_dropbox' BEGIN
  UPDATE tally SET
    gone = gone + (NEW.code IS 'gone_in_dropbox') - (OLD.code IS 'gone_in_dropbox'),
    gone_bytes = gone_bytes + iif(NEW.code IS 'gone_in_dropbox', NEW.size, 0) - iif(OLD.code IS 'gone_in_dropbox', OLD.size, 0)
  WHERE folder = NEW.folder;
END;
CREATE TRIGGER job_gone_removed AFTER DELETE ON job WHEN OLD.code IS 'gone_in_dropbox' BEGIN
  UPDATE tally SET gone = gone - 1, gone_bytes = gone_bytes - OLD.size WHERE folder = OLD.folder;
END;

CREATE TRIGGER change_here_added AFTER INSERT ON change WHEN NEW.kind = 'trash' BEGIN
  UPDATE tally SET staged_here = staged_here + 1 WHERE folder = NEW.folder;
END;
CREATE TRIGGER change_here_removed AFTER DELETE ON change WHEN OLD.kind = 'trash' BEGIN
  UPDATE tally SET staged_here = staged_here - 1 WHERE folder = OLD.folder;
END;
