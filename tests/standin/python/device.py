#!/usr/bin/env python3
"""Dropbox's own Python SDK as the other device of a folder that ferrybox syncs both ways.

    pip install -r requirements.txt
    python3 device.py --server PATH_TO_FERRYBOX_STANDIN --ferrybox PATH_TO_FERRYBOX

What the SDK writes, moves and deletes has to arrive on the disk; what is written, renamed and deleted on the disk, the SDK has to read.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from standin import Server

PATIENCE_S = 60
CONFIG = """
[daemon]
state_dir = "{dir}/state"
socket = "{dir}/run/s.sock"
[watch]
settle = "100ms"
[[account]]
name = "test"
app_key = "key"
credentials = "file:{dir}/credentials.json"
[account.endpoints]
api = "{url}"
content = "{url}"
notify = "{url}"
web = "{url}"
[[account.folder]]
local = "{dir}/tree"
remote = "/T"
mode = "two-way"
"""


def until(what, done):
    """Asks again until it is true; fails with `what` after a minute."""
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.02)


class Device:
    """The daemon's folder and the SDK, side by side."""

    def __init__(self, server, ferrybox, place):
        sdk, session = server.sdk()
        self.sdk, self.tree, self.ferrybox = sdk, place / "tree", ferrybox
        self.tree.mkdir()
        credentials = place / "credentials.json"
        with os.fdopen(os.open(credentials, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            json.dump({"refresh_token": server.ready["refresh_token"], "app_key": "key"}, file)
        self.config = place / "config.toml"
        self.config.write_text(CONFIG.format(dir=place, url=server.ready["url"]))
        self.box = sdk.Dropbox(oauth2_access_token=server.ready["access_token"], session=session)
        self.box.files_create_folder_v2("/T")
        self.process = subprocess.Popen([ferrybox, "--config", self.config, "--quiet", "run"])

    def stop(self):
        self.process.terminate()
        return self.process.wait()

    def status(self):
        reply = subprocess.run([self.ferrybox, "--config", self.config, "status", "--json"], capture_output=True)
        return json.loads(reply.stdout) if reply.returncode == 0 else None

    def in_sync(self):
        status = self.status()
        folder = status and status["accounts"][0]["folders"][0]
        return folder and folder["state"] == "in_sync"

    def disk(self, name, content):
        path = self.tree / name
        until(f"{name} on the disk", lambda: path.is_file() and path.read_bytes() == content)

    def gone(self, name):
        until(f"{name} gone from the disk", lambda: not (self.tree / name).exists())

    def remote(self, name, content):
        """Waits until the SDK reads this from Dropbox."""

        def there():
            try:
                return self.box.files_download(f"/T/{name}")[1].content == content
            except self.sdk.exceptions.ApiError:
                return False

        until(f"{name} in Dropbox", there)

    def missing(self, name):
        def gone():
            try:
                self.box.files_get_metadata(f"/T/{name}")
            except self.sdk.exceptions.ApiError as error:
                return error.error.is_path() and error.error.get_path().is_not_found()

        until(f"{name} gone from Dropbox", gone)


def arrives(device):
    """What the SDK does."""
    box, files = device.box, device.sdk.files
    box.files_upload(b"one", "/T/Notes/Übung.txt")
    device.disk("Notes/Übung.txt", b"one")
    box.files_upload(b"two", "/T/Notes/Übung.txt", mode=files.WriteMode.overwrite)
    device.disk("Notes/Übung.txt", b"two")
    box.files_upload(b"", "/T/empty")
    device.disk("empty", b"")
    block = os.urandom(4 << 20)
    start = box.files_upload_session_start(block)
    cursor = files.UploadSessionCursor(start.session_id, len(block))
    box.files_upload_session_finish(b"tail", cursor, files.CommitInfo("/T/large"))
    device.disk("large", block + b"tail")
    box.files_create_folder_v2("/T/Empty folder")
    until("the folder", (device.tree / "Empty folder").is_dir)
    inode = (device.tree / "Notes/Übung.txt").stat().st_ino
    box.files_move_v2("/T/Notes/Übung.txt", "/T/Empty folder/moved.txt")
    device.disk("Empty folder/moved.txt", b"two")
    device.gone("Notes/Übung.txt")
    assert (device.tree / "Empty folder/moved.txt").stat().st_ino == inode, "a move in Dropbox is a rename here"
    box.files_delete_v2("/T/Notes")
    device.gone("Notes")
    box.files_delete_v2("/T/empty")
    device.gone("empty")


def goes(device):
    """What is done on the disk."""
    (device.tree / "Mine/deep").mkdir(parents=True)
    (device.tree / "Mine/deep/ñ.txt").write_bytes(b"here")
    device.remote("Mine/deep/ñ.txt", b"here")
    large = os.urandom(9 << 20)
    (device.tree / "Mine/large").write_bytes(large)
    device.remote("Mine/large", large)
    (device.tree / "Mine/deep/ñ.txt").write_bytes(b"here again")
    device.remote("Mine/deep/ñ.txt", b"here again")
    (device.tree / "Mine/deep").rename(device.tree / "Mine/renamed")
    device.remote("Mine/renamed/ñ.txt", b"here again")
    device.missing("Mine/deep/ñ.txt")
    (device.tree / "Mine/large").unlink()
    device.missing("Mine/large")
    shutil.rmtree(device.tree / "Mine")
    device.missing("Mine")


def collides(device):
    """Both write one file: both versions are on both sides."""
    path = device.tree / "both.txt"
    path.write_bytes(b"start")
    device.remote("both.txt", b"start")
    until("rest", device.in_sync)
    path.write_bytes(b"mine")
    device.box.files_upload(b"theirs", "/T/both.txt", mode=device.sdk.files.WriteMode.overwrite)

    def contents():
        listed = device.box.files_list_folder("/T").entries
        names = [e.name for e in listed if isinstance(e, device.sdk.files.FileMetadata) and e.name.startswith("both")]
        there = sorted(device.box.files_download(f"/T/{name}")[1].content for name in names)
        here = sorted(p.read_bytes() for p in device.tree.glob("both*"))
        # Saved before it was overwritten there, or after: then nothing collided, and the last save is everywhere.
        return here == there and here in ([b"mine", b"theirs"], [b"theirs"]) and device.in_sync()

    until("both versions", contents)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="the ferrybox-standin binary")
    parser.add_argument("--ferrybox", required=True, help="the ferrybox binary")
    args = parser.parse_args()
    server = Server(args.server, "--longpoll-limit", "5000")
    with tempfile.TemporaryDirectory() as place:
        device = Device(server, args.ferrybox, pathlib.Path(place))
        try:
            for check in (arrives, goes, collides):
                check(device)
                print(f"ok      {check.__name__}")
            until("rest", device.in_sync)
            assert device.stop() == 0
            violations = server.get("violations")
            assert violations == [], violations
        finally:
            device.stop()
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
