#!/usr/bin/env python3
"""P8: from the start of ee-cp on an existing database to the first 200 of /ready, and its memory when idle.

The database is made by a first start, which is not counted; the peer is nginx on the same machine in the same run, from its start
to its first answer. usage: p8_start.py path/to/ee-cp [starts]"""
import http.client
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TARGET_MS, TARGET_MIB, IDLE_SECONDS = 300, 64, 3


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until_ready(port: int, path: str, began: float) -> float:
    while time.monotonic() - began < 30:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return (time.monotonic() - began) * 1000
        except OSError:
            pass
        time.sleep(0.002)
    raise SystemExit(f"no 200 from {path} within 30 s")


def rss_mib(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("no VmRSS")


def main() -> None:
    binary, starts = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    ours, peer, memory = [], [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(starts + 1):
            port = free_port()
            environment = {
                "PATH": os.environ["PATH"], "EE_ENV": "dev", "EE_CLUSTER_ID": "dev", "EE_BIND": f"127.0.0.1:{port}",
                "EE_PUBLIC_URL": f"http://127.0.0.1:{port}", "EE_DATABASE_URL": f"sqlite:{folder}/cp.db", "EE_LOG_LEVEL": "error",
            }
            began = time.monotonic()
            process = subprocess.Popen([binary, "serve"], env=environment, stdout=subprocess.DEVNULL)
            took = until_ready(port, "/ready", began)
            if turn > 0:
                ours.append(took)
            if turn == starts:
                time.sleep(IDLE_SECONDS)
                memory = rss_mib(process.pid)
            process.terminate()
            process.wait()
        if shutil.which("nginx"):
            for _ in range(starts):
                port = free_port()
                conf = pathlib.Path(folder, "nginx.conf")
                temporary = " ".join(f"{k}_temp_path {folder}/{k};" for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                conf.write_text(
                    f"pid {folder}/nginx.pid; daemon off; worker_processes 1; events {{}}\n"
                    f"http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port}; location / {{ return 200; }} }} }}\n"
                )
                began = time.monotonic()
                process = subprocess.Popen(["nginx", "-c", str(conf), "-e", f"{folder}/error.log"])
                peer.append(until_ready(port, "/", began))
                process.terminate()
                process.wait()
    start = statistics.median(ours)
    beside = f", nginx {statistics.median(peer):.0f} ms (ratio {start / statistics.median(peer):.1f})" if peer else ""
    print(f"P8 start to /ready: {start:.0f} ms{beside}; idle memory {memory:.0f} MiB; met: {start <= TARGET_MS and memory <= TARGET_MIB}")


main()
