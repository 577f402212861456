#!/usr/bin/env python
"""Whether the files that tercet writes are, byte for byte, the ones on record.

fingerprints.py [--write] [--only WORD...]: the sha256 of the Verilog and the manifest (its tools
apart) of every shipped network at three plans, of 40 random networks, and of the shipped network
files, held against .ci/fingerprints.txt. A change of layout or of names must leave them equal; one
that means to change an output writes them anew, and stands alone. Exit status 1 if one differs.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tercet.model import load, save, shipped
from tercet.model.fuzz.networks import network_of_seed

RECORD = Path(__file__).with_suffix(".txt")
GOALS = {"default": [], "multipliers": ["--multipliers", "64"], "cycles": ["--cycles", "20000"]}
SEEDS = range(40)
TERCET = [sys.executable, str(Path(sys.executable).parent / "tercet")]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def core(net: str, name: str, options: list[str]) -> list[str]:
    """The two files of a network's core, a line each."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*TERCET, "verilog", net, *options, "-o", folder], capture_output=True, text=True
        )
        if not Path(folder, "manifest.json").exists():  # a refusal is an output too
            return [f"{sha256(done.stderr.encode())}  {name} refused"]
        (verilog,) = Path(folder, "rtl").iterdir()
        facts = json.loads(Path(folder, "manifest.json").read_text())
        del facts["tools"]
        return [
            f"{sha256(verilog.read_bytes())}  {name}.v",
            f"{sha256(json.dumps(facts, sort_keys=True).encode())}  {name}.json",
        ]


def jobs(folder: Path):
    """(name, the lines of it) of everything on record, the slowest first."""
    for net in sorted(shipped(), key=lambda net: net != "mobilenet"):
        for goal, options in GOALS.items():
            name = f"{net} {goal}"
            yield name, lambda net=net, name=name, options=options: core(net, name, options)
    for seed in SEEDS:
        name = f"fuzz_{seed}"
        options = ["--multipliers", str(seed)] if seed % 2 else []

        def drawn(seed=seed, name=name, options=options):
            save(network_of_seed(seed), folder / f"{name}.json")
            return core(str(folder / f"{name}.json"), name, options)

        yield name, drawn
    for net in shipped():

        def saved(net=net):
            save(load(net), folder / f"{net}.json")
            return [f"{sha256((folder / f'{net}.json').read_bytes())}  {net} network"]

        yield f"{net} network", saved


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put them on record")
    parser.add_argument(
        "--only", nargs="*", metavar="WORD", help="names that hold one of the words; fuzz for all"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        wanted = {
            name: job
            for name, job in jobs(Path(folder))
            if args.only is None or set(args.only) & {*name.split(), name.partition("_")[0]}
        }
        futures = [pool.submit(job) for job in wanted.values()]
        made = sorted((line for future in futures for line in future.result()), key=_name)
    if args.write:
        kept = [line for line in RECORD.read_text().splitlines() if _about(line) not in wanted]
        RECORD.write_text("\n".join(sorted([*kept, *made], key=_name)) + "\n")
    record = RECORD.read_text().splitlines()
    if args.only is not None:
        record = [line for line in record if _about(line) in wanted]
    for name in sorted({_name(line) for line in set(record) ^ set(made)}):
        sys.stdout.write(f"differs: {name}\n")
    same = len(set(record) & set(made))
    sys.stdout.write(f"{same} of {len(record)} files are as on record\n")
    return int(sorted(record) != sorted(made))


def _name(line: str) -> str:
    return line.split("  ")[1]


def _about(line: str) -> str:
    return _name(line).removesuffix(".v").removesuffix(".json").removesuffix(" refused")


if __name__ == "__main__":
    sys.exit(main())
