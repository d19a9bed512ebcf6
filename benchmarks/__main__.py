"""`python -m benchmarks [names] [--size small|large] [--json FILE]`: the table of the project's speed and accuracy."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
from pathlib import Path

import benchmarks
from benchmarks import harness


def suites() -> dict[str, str]:
    """Return the modules that offer `rows(size)`, with the first line of their docstring."""
    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("_"):
            continue
        loaded = importlib.import_module(f"benchmarks.{module.name}")
        if hasattr(loaded, "rows"):
            found[module.name] = (loaded.__doc__ or "").splitlines()[0]
    return found


def show(row: dict) -> str:
    """Return one row as a line of the table."""
    cells = [
        row["path"],
        f"{row['seconds']:.3f} s",
        row["reference"],
        "" if row["reference_seconds"] is None else f"{row['reference_seconds']:.3f} s",
        "" if row["ratio"] is None else f"{row['ratio']:.2f}x",
        "" if row["throughput"] is None else f"{row['throughput']:,.1f} {row['unit']}",
        row["check"],
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    available = suites()
    listing = "\n".join(f"  {name:14} {text}" for name, text in available.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Run ours and the reference in turn; print medians and their ratio.\n\nsuites:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="suite", help="default: all")
    parser.add_argument(
        "--size", choices=["small", "large"], default="small", help="small: minutes; large: published figures"
    )
    parser.add_argument("--json", type=Path, help="also write all rows to this file")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(available)
    if unknown:
        parser.error(f"unknown suite(s) {', '.join(sorted(unknown))}; there are {', '.join(available)}")

    print(harness.machine(), end="\n\n")
    print("| path | ours | reference | its time | ratio | throughput | check |")
    print("|---|---|---|---|---|---|---|")
    collected = []
    for name in arguments.names or available:
        for row in importlib.import_module(f"benchmarks.{name}").rows(arguments.size):
            collected.append({"suite": name} | row.as_dict())
            print(show(collected[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(collected, indent=1, default=float))


if __name__ == "__main__":
    main()
