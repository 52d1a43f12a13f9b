#!/usr/bin/env python3
"""Looks for secrets in what the suite or a run left behind: logs, audit rows, whole database files.

usage: secret_scan.py DIR
Files of secrets that are meant to hold them (a signing key's file, an agent's state file) are named below; everything else is
searched for the shapes of credentials and for values that tests planted (DIR/../planted: one value a line, in any file)."""
import pathlib
import re
import sys

# Files that exist to hold a secret, mode 0600, checked to be so.
HOLDERS = {"cp-signing-key.pem", "state.json", "cp-secrets-key"}
# Throw-away keys and tokens that a test makes as files, to hand them to a TLS listener or to another library.
TEST_MADE = {"key.pem", "other.pem", "key", "ours.json", "theirs.json"}
SHAPES = {
    "opaque credential": re.compile(rb"ee_(?:live|sess|agent|boot|enroll|svc)_[a-z2-7]{16}_[0-9A-Za-z]{49}"),
    "JSON web token": re.compile(rb"eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    "private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "Stripe secret": re.compile(rb"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z]{16,}"),
}


def is_scanned(path: pathlib.Path) -> bool:
    name = path.name
    return path.is_file() and not path.is_symlink() and name not in HOLDERS | TEST_MADE and not name.startswith("state.json")


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    planted = []
    for path in root.parent.glob("planted/*"):
        planted += [line for line in path.read_bytes().split(b"\n") if len(line) >= 16]
    findings, files = [], 0
    for path in sorted(root.rglob("*")):
        if path.name in HOLDERS and path.is_file() and path.stat().st_mode & 0o077:
            findings.append(f"{path}: holds a secret and can be read by others")
        if not is_scanned(path):
            continue
        files += 1
        content = path.read_bytes()
        for what, shape in SHAPES.items():
            found = shape.search(content)
            if found:
                findings.append(f"{path}: {what} at byte {found.start()}")
        for value in planted:
            if value in content:
                findings.append(f"{path}: a planted secret at byte {content.index(value)}")
    if files == 0:
        findings.append(f"{root}: nothing to scan: the suite left no file")
    print("\n".join(findings) or f"secret scan: {files} files, {len(planted)} planted values, nothing found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
