#!/usr/bin/env python3
"""Runs clang-tidy over the files given, on all cores, and skips those whose inputs have not changed since they were clean.

The stamp of a file is the hash of .clang-tidy, its compile command and the preprocessed list of its headers' contents, so a
changed header checks again every file that includes it. Stamps live in the build folder: a clean checkout checks all.
usage: tidy.py BUILD_DIR FILE..."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def stamp_of(command: dict) -> str:
    words = shlex.split(command["command"])
    words = [w for w in words if w not in ("ccache", "/usr/bin/ccache")]
    cut = words.index("-o")
    listing = subprocess.run(words[:cut] + ["-MM", "-MG", command["file"]], capture_output=True, text=True, cwd=command["directory"])
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + command["command"].encode())
    for name in listing.stdout.replace("\\\n", " ").split()[1:]:
        path = pathlib.Path(command["directory"], name)
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def check(build: pathlib.Path, command: dict) -> tuple[str, bool, str]:
    name = os.path.relpath(command["file"], ROOT)
    stamps = build / "tidy-stamps"
    stamps.mkdir(exist_ok=True)
    stamp = stamp_of(command)
    record = stamps / name.replace("/", "__")
    if record.is_file() and record.read_text() == stamp:
        return name, True, ""
    done = subprocess.run(["clang-tidy-19", "--quiet", "-p", str(build), command["file"]], capture_output=True, text=True)
    ok = done.returncode == 0
    if ok:
        record.write_text(stamp)
    return name, ok, done.stdout


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    commands = {c["file"]: c for c in json.loads((build / "compile_commands.json").read_text())}
    wanted = [commands[str(ROOT / f)] for f in sys.argv[2:] if str(ROOT / f) in commands]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, ok, output in pool.map(lambda c: check(build, c), wanted):
            if not ok:
                failed += 1
                print(f"clang-tidy: {name}\n{output}")
    print(f"clang-tidy: {len(wanted)} files, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
