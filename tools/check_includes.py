#!/usr/bin/env python3
"""Checks the direction of #include lines: which folder may include which. A wrong arrow fails the build with the rule named."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

# folder -> project folders it may include (its own is always allowed), and prefixes of outside headers it may not.
ALLOWED = {
    "common": [],
    "attestation": ["common"],
    "net": ["common"],
    "db": ["common"],
    "cp/domain": ["common", "attestation"],
    "cp/store": ["common", "cp/domain", "db", "attestation"],
    "cp/integration": ["common", "cp/domain", "attestation"],
    "cp/service": ["common", "cp/domain", "cp/store", "db", "cp/integration", "attestation"],
    "cp/jobs": ["common", "cp/domain", "cp/service", "cp/store", "db"],
    "cp/http": ["common", "cp/domain", "cp/service", "cp/jobs", "net", "attestation"],
    "cp": ["common", "attestation", "net", "db", "cp/domain", "cp/store", "cp/integration", "cp/service", "cp/jobs", "cp/http"],
    "agent": ["common", "net", "attestation"],
    "launcher": ["common", "net", "attestation"],
}
# Outside libraries, and the only folders that may name them.
LIBRARIES = {
    "boost/asio": ["net"],
    "boost/beast": ["net"],
    "boost/url": ["net", "common"],
    "curl/": ["net"],
    "soci/": ["db"],
    "sqlite3.h": ["db"],
    "libpq-fe.h": ["db"],
    "prometheus/": ["common"],
    "spdlog/": ["common"],
    "openssl/": ["common", "attestation", "net"],
    "sodium": ["common"],
    "yaml.h": ["common"],
}


def layer_of(path: str) -> str:
    best = ""
    for folder in ALLOWED:
        if path.startswith(folder + "/") and len(folder) > len(best):
            best = folder
    return best


def main() -> int:
    errors = []
    for source in sorted((ROOT / "src").rglob("*")):
        if source.suffix not in (".h", ".cpp"):
            continue
        name = source.relative_to(ROOT / "src").as_posix()
        layer = layer_of(name)
        if not layer:
            errors.append(f"src/{name}: the folder is not in the table of tools/check_includes.py")
            continue
        is_test = name.endswith(("_test.cpp", "_fixture.h", "_test_support.h"))
        for number, line in enumerate(source.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            header = found.group(2)
            for library, folders in LIBRARIES.items():
                if header.startswith(library) and layer not in folders and not is_test:
                    errors.append(f"src/{name}:{number}: {layer} may not use <{header}>; only {', '.join(folders)} may")
            if found.group(1) != '"':
                continue
            if header.startswith("tests/"):
                if not is_test:
                    errors.append(f"src/{name}:{number}: only tests may include {header}")
                continue
            target = layer_of(header)
            if not target:
                errors.append(f'src/{name}:{number}: "{header}" is not a path from src/')
            elif target != layer and target not in ALLOWED[layer] and not is_test:
                errors.append(f"src/{name}:{number}: {layer} may not include {target} ({header})")
    print("\n".join(errors) if errors else "include directions: clean")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
