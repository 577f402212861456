"""Written files are those on record; all of them by `make fingerprints`, some here."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / ".ci/fingerprints.py"


def check(*words, script=SCRIPT):
    done = subprocess.run(
        [sys.executable, script, "--only", *words], capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout


def test_files_are_as_on_record():
    assert check("plain", "fuzz_3", "fuzz_4") == (0, "11 of 11 files are as on record\n")


def test_a_file_that_differs_is_named(tmp_path):
    script = tmp_path / "fingerprints.py"
    script.write_text(SCRIPT.read_text())
    record = SCRIPT.with_suffix(".txt").read_text().splitlines()
    changed = [f"{'0' * 64}  fuzz_3.v" if line.endswith("  fuzz_3.v") else line for line in record]
    (tmp_path / "fingerprints.txt").write_text("\n".join(changed))
    assert check("fuzz_3", script=script) == (
        1,
        "differs: fuzz_3.v\n1 of 2 files are as on record\n",
    )
