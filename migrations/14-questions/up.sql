-- Three arguments of the listing are no longer asked for. Where they were off, the question is the same, and nothing is listed anew for it.
UPDATE remote_listing SET question =
  replace(replace(replace(question, '"include_deleted":false,', ''), '"include_media_info":false,', ''), ',"include_restorable_info":false', '');
