-- Stands in for the remote cache's migration, which is written on another branch: when the two meet, take the other file.
SELECT 1;
