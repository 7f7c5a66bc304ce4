"""The stand-in's binary as a process, and Dropbox's Python SDK pointed at it."""

import json
import os
import subprocess
import urllib.request


class Server:
    """The binary, and its control surface."""

    def __init__(self, binary, *options):
        self.process = subprocess.Popen([binary, *options], stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())
        self.host = self.ready["url"].removeprefix("http://")

    def get(self, what):
        with urllib.request.urlopen(f"{self.ready['url']}/standin/{what}") as reply:
            return json.load(reply)

    def post(self, what, /, **fields):
        data = json.dumps(fields).encode()
        with urllib.request.urlopen(f"{self.ready['url']}/standin/{what}", data=data) as reply:
            return json.load(reply)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def sdk(self):
        """The SDK's module and a session for it. It reads its hosts once, when it is imported, so this comes first."""
        for name in ("DROPBOX_API_HOST", "DROPBOX_API_CONTENT_HOST", "DROPBOX_API_NOTIFY_HOST", "DROPBOX_WEB_HOST"):
            os.environ[name] = self.host
        import dropbox
        import requests

        class PlainSession(requests.Session):
            """The SDK says https; the stand-in speaks http."""

            def request(self, method, url, **kwargs):
                return super().request(method, url.replace("https://", "http://", 1), **kwargs)

        return dropbox, PlainSession()
