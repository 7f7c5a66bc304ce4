-- Dropbox's id of the remote folder, once a listing has shown it: a folder of another id at its path is another folder. NULL: never seen.
ALTER TABLE folder ADD COLUMN remote_id TEXT;
