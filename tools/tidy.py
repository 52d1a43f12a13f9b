#!/usr/bin/env python3
"""Runs clang-tidy over the files given, on all cores, and skips those whose inputs have not changed since they were clean.

The stamp of a file is the hash of .clang-tidy, its compile command and the contents of the project's headers that it includes,
with no path of this checkout in it, so that what was clean in another checkout counts here too, as with ccache. Stamps are empty
files in $EE_TIDY_CACHE, by default ~/.cache/easyenclave-tidy; those unused for 30 days go.
BUILD_DIR holds compile_commands.json and tidy_scope.so, built from tools/tidy_scope.cpp.
usage: tidy.py BUILD_DIR FILE..."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STAMPS = pathlib.Path(os.environ.get("EE_TIDY_CACHE") or pathlib.Path.home() / ".cache" / "easyenclave-tidy")


def stamp_of(command: dict) -> str:
    words = shlex.split(command["command"])
    words = words[next(i for i, word in enumerate(words) if "clang++" in word) :]
    words = words[: words.index("-o")]
    # The project's own headers only: what is in /usr changes with the version that the command line names.
    listing = subprocess.run(
        words + ["-MM", "-MG", command["file"]], capture_output=True, text=True, cwd=command["directory"], check=True
    )
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    digest.update((ROOT / "cmake" / "precompiled.h").read_bytes())
    digest.update((ROOT / "tools" / "tidy_scope.cpp").read_bytes())
    digest.update(" ".join(words).replace(str(ROOT), "").encode())
    for name in listing.stdout.replace("\\\n", " ").split()[1:]:
        path = pathlib.Path(command["directory"], name)
        if path.is_file():
            digest.update(os.path.relpath(path, ROOT).encode() + path.read_bytes())
    return digest.hexdigest()


def tidy(build: pathlib.Path, folder: pathlib.Path, file: str) -> subprocess.CompletedProcess:
    scope = ["--load", str(build / "tidy_scope.so"), "--checks=easyenclave-own-code-only"]
    return subprocess.run(["clang-tidy-19", "--quiet", "-p", str(folder), *scope, file], capture_output=True, text=True)


def finds_planted_faults(build: pathlib.Path, command: dict) -> bool:
    """Whether a fault in a file and one in a header of ours are found: what is narrowed too far finds nothing anywhere."""
    folder = build / "planted"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "planted.h").write_text("#pragma once\ninline int* in_header = 0;\n")
    file = folder / "planted.cpp"
    file.write_text('#include "src/planted.h"\nint* in_file = 0;\n')
    planted = {**command, "file": str(file), "command": command["command"].replace(command["file"], str(file))}
    (folder / "compile_commands.json").write_text(json.dumps([planted]))
    found = tidy(build, folder, str(file)).stdout
    return all(f"{name}:2:" in found for name in ("planted.h", "planted.cpp")) and "modernize-use-nullptr" in found


def check(build: pathlib.Path, command: dict) -> tuple[str, bool, str]:
    name = os.path.relpath(command["file"], ROOT)
    record = STAMPS / stamp_of(command)
    if record.is_file():
        record.touch()
        return name, True, ""
    done = tidy(build, build, command["file"])
    if done.returncode == 0:
        record.touch()
    return name, done.returncode == 0, done.stdout or done.stderr


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    STAMPS.mkdir(parents=True, exist_ok=True)
    for old in STAMPS.iterdir():
        if time.time() - old.stat().st_mtime > 30 * 86400:
            old.unlink(missing_ok=True)
    commands = {c["file"]: c for c in json.loads((build / "compile_commands.json").read_text())}
    wanted = [commands[str(ROOT / f)] for f in sys.argv[2:] if str(ROOT / f) in commands]
    if wanted and not finds_planted_faults(build, wanted[0]):
        print("clang-tidy: planted faults are not found, so nothing else would be")
        return 1
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
