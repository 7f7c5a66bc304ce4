#!/usr/bin/env python3
"""What the remote cache costs: a million entries from the stand-in, the real daemon, one table.

  cargo build --release --workspace --bins && benches/remote.py --bins target/release [--entries 1000000]

Prints and asserts nothing. Needs Linux (/proc) and Python 3.9; no packages.
"""
import argparse, http.client, json, os, re, signal, socket, subprocess, sys, tempfile, threading, time, urllib.request

def main():
    p = argparse.ArgumentParser()
    p.add_argument("--bins", default="target/release")
    p.add_argument("--entries", type=int, default=1_000_000)
    a = p.parse_args()
    work = tempfile.mkdtemp(prefix="ferrybox-bench-")
    server = subprocess.Popen([f"{a.bins}/ferrybox-standin", "--token", "bench"], stdout=subprocess.PIPE, text=True)
    url = None
    for line in server.stdout:
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found:
            url = found.group(0)
            break
    threading.Thread(target=lambda: [None for _ in server.stdout], daemon=True).start()
    try:
        run(a, work, url)
    finally:
        server.kill()

def control(url, what, body):
    request = urllib.request.Request(f"{url}/standin/{what}", data=json.dumps(body).encode(), method="POST")
    return json.load(urllib.request.urlopen(request, timeout=600))

def row(what, value):
    print(f"{what:<58} {value}", flush=True)

def list_all(url):
    """The server's own figure: every page, read and thrown away."""
    host = url.split("//")[1]
    connection = http.client.HTTPConnection(host)
    headers = {"Authorization": "Bearer bench", "Content-Type": "application/json"}
    began, n, size = time.monotonic(), 0, 0
    route, body = "list_folder", {"path": "", "recursive": True, "limit": 2000}
    while True:
        connection.request("POST", f"/2/files/{route}", json.dumps(body), headers)
        data = connection.getresponse().read()
        n, size = n + data.count(b'".tag"'), size + len(data)
        cursor = re.search(rb'"cursor":"([^"]+)"', data).group(1).decode()
        if b'"has_more":true' not in data:
            return time.monotonic() - began, n, size
        route, body = "list_folder/continue", {"cursor": cursor}

class Daemon:
    def __init__(self, a, work):
        self.a, self.work, self.peak = a, work, 0
        self.socket = f"{work}/run/s"
        self.child = subprocess.Popen([f"{a.bins}/ferrybox", "--config", f"{work}/c.toml", "run"],
                                      stdout=subprocess.DEVNULL, stderr=open(f"{work}/log", "a"))
    def memory(self):
        for line in open(f"/proc/{self.child.pid}/status"):
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    def cpu(self):
        f = open(f"/proc/{self.child.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
    def get(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(30)
        try:
            s.connect(self.socket)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while chunk := s.recv(65536):
                data += chunk
            return json.loads(data.split(b"\r\n\r\n", 1)[1])
        except (OSError, ValueError, IndexError):
            return None
        finally:
            s.close()
    def account(self):
        status = self.get("/v1/status")
        return status["accounts"][0] if status else None
    def until(self, done, pause=0.01):
        began = time.monotonic()
        while True:
            account = self.account()
            if account and done(account):
                return time.monotonic() - began
            if time.monotonic() - began > 1200:
                sys.exit(f"in vain; last: {account}")
            time.sleep(pause)
    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        self.child.wait()

def ls(a, work, *args):
    return [f"{a.bins}/ferrybox", "--config", f"{work}/c.toml", "--quiet", "ls", *args]

def run(a, work, url):
    os.makedirs(f"{work}/tree")
    secret = f"{work}/credentials.json"
    open(secret, "w").write('{"access_token": "bench"}')
    os.chmod(secret, 0o600)
    open(f"{work}/c.toml", "w").write(f'''
[daemon]
state_dir = "{work}/state"
socket = "{work}/run/s"
[listing]
patience = "0s"
[[account]]
name = "a"
credentials = "file:{secret}"
[account.endpoints]
api = "{url}"
content = "{url}"
notify = "{url}"
web = "{url}"
[[account.folder]]
local = "{work}/tree"
remote = "/"
mode = "backup"
''')
    # Half of the entries below one folder of one million's half.
    half = a.entries // 2
    control(url, "generate", {"entries": half})
    control(url, "make_folder", {"path": "/deep"})
    for i in range(half // 1000):
        control(url, "rename", {"from": f"/folder-{i:06}", "to": f"/deep/folder-{i:06}"})
    control(url, "generate", {"entries": a.entries - half})
    row("entries", f"{a.entries:,}")
    row("load of the machine at the start (1 min)", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    server, n, size = list_all(url)
    row("the server alone: all pages read and thrown away", f"{server:.1f} s, {n / server:,.0f} entries/s, {size / n:.0f} bytes an entry on the wire")
    began = time.monotonic()
    d = Daemon(a, work)
    d.until(lambda s: s["remote"]["entries"] >= a.entries and not s["remote"]["listing"], 0.05)
    whole, cpu = time.monotonic() - began, d.cpu()
    row("the daemon: first listing, start to complete", f"{whole:.1f} s, {a.entries / whole:,.0f} entries/s with the server")
    row("  net of the server (whole - server alone)", f"{max(whole - server, 0.001):.1f} s, {a.entries / max(whole - server, 0.001):,.0f} entries/s")
    row("  the daemon's CPU time", f"{cpu:.1f} s, {a.entries / cpu:,.0f} entries a CPU second")
    row("  its peak memory (VmHWM)", f"{d.memory():.0f} MB")
    entries = d.account()["remote"]["entries"]
    d.stop()
    db = sum(os.path.getsize(f"{work}/state/a/{f}") for f in os.listdir(f"{work}/state/a") if f.startswith("state.db"))
    row("database after the stop", f"{db / 1e6:.0f} MB, {db / entries:.0f} bytes an entry")
    began = time.monotonic()
    d = Daemon(a, work)
    d.until(lambda s: s["state"] == "idle")
    row("restart to idle", f"{time.monotonic() - began:.2f} s")
    d.stop(signal.SIGKILL)
    began = time.monotonic()
    d = Daemon(a, work)
    d.until(lambda s: s["state"] == "idle")
    row("restart to idle after kill -9 (with SQLite's own check)", f"{time.monotonic() - began:.2f} s")
    began = time.monotonic()
    head = subprocess.run(" ".join(ls(a, work, "-R", "/")) + " | head -n 10", shell=True, capture_output=True)
    row("ls -R / | head", f"{(time.monotonic() - began) * 1000:.0f} ms, {len(head.stdout.splitlines())} lines")
    began = time.monotonic()
    lines = subprocess.run(" ".join(ls(a, work, "-R", "/")) + " | wc -l", shell=True, capture_output=True)
    row("ls -R / | wc -l", f"{time.monotonic() - began:.1f} s, {int(lines.stdout):,} lines")
    times = []
    for i in range(7):
        began = time.monotonic()
        control(url, "write", {"path": f"/folder-000000/change-{i}", "text": "x"})
        while not any(e["path_lower"].endswith(f"change-{i}") for e in d.get("/v1/entries?path=/folder-000000&after=/folder-000000/change&limit=20")["items"]):
            time.sleep(0.002)
        times.append(time.monotonic() - began)
    row("a change: from the server to the cache (median of 7)", f"{sorted(times)[3] * 1000:.0f} ms (slowest {max(times) * 1000:.0f} ms)")
    before = d.account()["remote"]["entries"]
    began = time.monotonic()
    control(url, "delete", {"path": "/deep"})
    deleted = time.monotonic() - began
    d.until(lambda s: s["remote"]["entries"] < before - half + 1000)
    gone = time.monotonic() - began
    out = subprocess.run(ls(a, work, "-R", "/deep"), capture_output=True)
    row("a folder above half of all goes: gone for every reader", f"{gone - deleted:.2f} s after the server's own {deleted:.1f} s (ls says {len(out.stdout.splitlines())} lines)")
    began = time.monotonic()
    while True:
        pages = os.path.getsize(f"{work}/state/a/state.db")
        if pages < db * 0.62 or time.monotonic() - began > 300:
            break
        time.sleep(0.2)
    row("  its space is free after", f"{time.monotonic() - began:.1f} s, the file has {pages / 1e6:.0f} MB")
    row("peak memory over all that", f"{d.memory():.0f} MB")
    d.stop()
    violations = json.load(urllib.request.urlopen(f"{url}/standin/violations"))
    row("violations of the protocol that the server saw", str(len(violations)))

main()
