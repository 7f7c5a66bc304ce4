#!/usr/bin/env python3
"""Drives the stand-in with Dropbox's own Python SDK, a second client that nobody here wrote.

    pip install -r requirements.txt
    python3 check.py --server PATH_TO_FERRYBOX_STANDIN

Starts the binary on a free port, ends it, and fails when a check fails or the server has seen a violation.
"""

import argparse
import datetime
import hashlib
import sys
import threading
import traceback

from standin import Server


def content_hash(data):
    blocks = (data[at : at + 4 * 1024 * 1024] for at in range(0, len(data), 4 * 1024 * 1024))
    return hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()


def raises(error, call, *args, **kwargs):
    """The error that a call raises; it is a failure when it raises none."""
    try:
        call(*args, **kwargs)
    except error as found:
        return found
    raise AssertionError(f"{call.__name__} raised no {error.__name__}")


class Checks:
    """Each method is one check, on an account that the others have used before it."""

    def __init__(self, server, sdk, session):
        self.server, self.sdk, self.session = server, sdk, session
        self.box = self.client(oauth2_access_token=server.ready["access_token"])

    def client(self, **credentials):
        return self.sdk.Dropbox(session=self.session, max_retries_on_error=0, max_retries_on_rate_limit=0, **credentials)

    def entries(self, page):
        found = list(page.entries)
        while page.has_more:
            page = self.box.files_list_folder_continue(page.cursor)
            found.extend(page.entries)
        return found, page.cursor

    def wait(self, check, launched):
        """Polls a job to its end."""
        if launched.is_complete():
            return launched.get_complete()
        while True:
            status = check(launched.get_async_job_id())
            if not status.is_in_progress():
                return status.get_complete()

    def write_during_longpoll(self):
        """Another device writes a file as soon as a longpoll is under way."""
        while self.server.get("calls").get("files/list_folder/longpoll", {}).get("running") != 1:
            pass
        self.server.post("write", path="/Other", text="device")

    def check_account(self):
        account = self.box.users_get_current_account()
        assert account.account_id == self.server.ready["account_id"], account
        assert account.root_info.root_namespace_id == account.root_info.home_namespace_id
        assert self.box.users_get_space_usage().allocation.is_individual()
        assert self.box.check_user("hello").result == "hello"

    def check_oauth(self):
        flow = self.sdk.DropboxOAuth2FlowNoRedirect("app-key", use_pkce=True, token_access_type="offline")
        flow.requests_session = self.session
        page = self.session.get(flow.start(), headers={"Accept": "application/json"})
        tokens = flow.finish(page.json()["code"])
        assert tokens.account_id == self.server.ready["account_id"], tokens
        box = self.client(oauth2_refresh_token=tokens.refresh_token, app_key="app-key")
        box.users_get_current_account()
        self.server.post("tokens/expire")
        # The SDK refreshes when it is told that the token has expired.
        box.users_get_current_account()
        box.auth_token_revoke()
        raises(self.sdk.exceptions.AuthError, box.users_get_current_account)
        self.box = self.client(oauth2_access_token=self.server.post("tokens/access")["access_token"])

    def check_upload_modes(self):
        files = self.sdk.files
        when = datetime.datetime(2020, 2, 3, 4, 5, 6)
        first = self.box.files_upload(b"one", "/Docs/Übung.txt", client_modified=when)
        assert first.client_modified.replace(tzinfo=None) == when, first
        assert first.content_hash == content_hash(b"one")
        assert self.box.files_upload(b"one", "/docs/übung.TXT").rev == first.rev
        error = raises(self.sdk.exceptions.ApiError, self.box.files_upload, b"two", "/docs/übung.txt").error
        assert error.is_path() and error.get_path().reason.get_conflict().is_file(), error
        second = self.box.files_upload(b"two", "/docs/übung.txt", mode=files.WriteMode.update(first.rev))
        assert second.id == first.id and second.rev != first.rev
        renamed = self.box.files_upload(b"three", "/docs/übung.txt", autorename=True)
        assert renamed.name == "Übung (1).txt" or renamed.name == "übung (1).txt", renamed

    def check_sessions(self):
        files = self.sdk.files
        started = self.box.files_upload_session_start(b"abc")
        cursor = files.UploadSessionCursor(started.session_id, 3)
        self.box.files_upload_session_append_v2(b"def", cursor)
        error = raises(self.sdk.exceptions.ApiError, self.box.files_upload_session_append_v2, b"x", cursor).error
        assert error.is_incorrect_offset() and error.get_incorrect_offset().correct_offset == 6, error
        cursor.offset = 6
        done = self.box.files_upload_session_finish(b"ghi", cursor, files.CommitInfo("/sequential"))
        assert done.size == 9 and done.content_hash == content_hash(b"abcdefghi")

        kind = files.UploadSessionType.concurrent
        started = self.box.files_upload_session_start(b"", session_type=kind)
        block = b"z" * (4 * 1024 * 1024)
        end = files.UploadSessionCursor(started.session_id, 2 * len(block))
        for at in (len(block), 0):
            self.box.files_upload_session_append_v2(block, files.UploadSessionCursor(started.session_id, at))
        self.box.files_upload_session_append_v2(b"end", end, close=True)
        end.offset += 3
        done = self.box.files_upload_session_finish(b"", end, files.CommitInfo("/concurrent"))
        assert done.content_hash == content_hash(block + block + b"end")

    def check_batches(self):
        files = self.sdk.files
        sessions = self.box.files_upload_session_start_batch(3).session_ids
        bodies = [b"first", b"", b"third one"]
        cursors = [files.UploadSessionCursor(session, 0) for session in sessions]
        pairs = list(zip(cursors, bodies))
        appends = [files.UploadSessionAppendBatchArgEntry(cursor, len(body), close=True) for cursor, body in pairs]
        whole = b"".join(bodies)
        done = self.box.files_upload_session_append_batch(whole, appends, content_hash=content_hash(whole))
        assert all(entry.is_success() for entry in done.entries), done
        for cursor, body in pairs:
            cursor.offset = len(body)
        commits = [files.CommitInfo(f"/batch/{n}") for n in range(3)]
        entries = [files.UploadSessionFinishArg(*both) for both in zip(cursors, commits)]
        launched = self.box.files_upload_session_finish_batch(entries[:2])
        done = self.wait(self.box.files_upload_session_finish_batch_check, launched)
        assert [entry.get_success().size for entry in done.entries] == [5, 0], done
        done = self.box.files_upload_session_finish_batch_v2(entries[2:])
        assert done.entries[0].get_success().content_hash == content_hash(b"third one")

    def check_listing(self):
        found, cursor = self.entries(self.box.files_list_folder("", recursive=True))
        paths = {entry.path_lower for entry in found}
        assert {"/batch", "/batch/0", "/docs/übung.txt", "/concurrent"} <= paths, paths
        changes, cursor = self.entries(self.box.files_list_folder_continue(cursor))
        assert changes == []
        device = threading.Thread(target=self.write_during_longpoll)
        device.start()
        assert self.box.files_list_folder_longpoll(cursor).changes
        device.join()
        changes, cursor = self.entries(self.box.files_list_folder_continue(cursor))
        assert [entry.path_display for entry in changes] == ["/Other"], changes
        self.server.post("cursors/reset")
        error = raises(self.sdk.exceptions.ApiError, self.box.files_list_folder_continue, cursor).error
        assert error.is_reset(), error
        error = raises(self.sdk.exceptions.ApiError, self.box.files_list_folder, "/nowhere").error
        assert error.get_path().is_not_found(), error

    def check_downloads_and_revisions(self):
        metadata, reply = self.box.files_download("/docs/übung.txt")
        assert reply.content == b"two" and metadata.content_hash == content_hash(b"two")
        revisions = self.box.files_list_revisions("/docs/übung.txt").entries
        assert [entry.size for entry in revisions] == [3, 3]
        assert self.box.files_download(f"rev:{revisions[1].rev}")[1].content == b"one"
        self.box.files_restore("/docs/übung.txt", revisions[1].rev)
        assert self.box.files_download("/docs/übung.txt")[1].content == b"one"
        error = raises(self.sdk.exceptions.ApiError, self.box.files_download, "/nowhere").error
        assert error.get_path().is_not_found(), error

    def check_moves_copies_and_deletes(self):
        files = self.sdk.files
        self.box.files_create_folder_v2("/Folder")
        error = raises(self.sdk.exceptions.ApiError, self.box.files_create_folder_v2, "/folder").error
        assert error.get_path().get_conflict().is_folder(), error
        done = self.box.files_create_folder_batch(["/x", "/y"])
        assert len(done.get_complete().entries) == 2
        moves = [files.RelocationPath("/batch/0", "/folder/moved"), files.RelocationPath("/nowhere", "/z")]
        done = self.wait(self.box.files_move_batch_check_v2, self.box.files_move_batch_v2(moves))
        assert done.entries[0].get_success().path_display == "/Folder/moved", done
        assert done.entries[1].get_failure().get_relocation_error().get_from_lookup().is_not_found(), done
        copies = [files.RelocationPath("/folder", "/copy")]
        done = self.wait(self.box.files_copy_batch_check_v2, self.box.files_copy_batch_v2(copies))
        assert done.entries[0].is_success(), done
        assert self.box.files_delete_v2("/x").metadata.name == "x"
        deletes = [files.DeleteArg("/copy"), files.DeleteArg("/copy/none")]
        done = self.wait(self.box.files_delete_batch_check, self.box.files_delete_batch(deletes))
        assert done.entries[0].is_success(), done
        assert done.entries[1].get_failure().get_path_lookup().is_not_found(), done
        found = self.box.files_get_metadata("/copy", include_deleted=True)
        assert isinstance(found, files.DeletedMetadata), found

    def check_faults(self):
        errors = self.sdk.exceptions
        limit = {"rate_limited": {"reason": "too_many_requests", "retry_after": "0"}}
        self.server.post("faults", route="files/get_metadata", when={"times": 1}, what=limit)
        raises(errors.RateLimitError, self.box.files_get_metadata, "/y")
        self.server.post("faults", route="files/get_metadata", when={"times": 1}, what={"status": {"code": 503}})
        raises(errors.InternalServerError, self.box.files_get_metadata, "/y")
        self.server.post("faults", route="files/get_metadata", when={"times": 1}, what="drop_after")
        raises(Exception, self.box.files_get_metadata, "/y")
        assert self.server.get("faults")["hits"] == [1, 1, 1]
        assert self.box.files_get_metadata("/y").name == "y"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the ferrybox-standin binary")
    options = ["--longpoll-limit", "5000", "--page-size", "3", "--commit-duration", "100"]
    server = Server(parser.parse_args().server, *options)
    sdk, session = server.sdk()
    passed, failed = 0, 0
    try:
        checks = Checks(server, sdk, session)
        for name in [name for name in vars(Checks) if name.startswith("check_")]:
            try:
                getattr(checks, name)()
                violations = server.get("violations")
                assert violations == [], violations
                passed += 1
                print(f"ok      {name}")
            except Exception:
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}")
                server.post("reset")
    finally:
        server.stop()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
