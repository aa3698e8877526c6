"""The job on a slice of MovieLens: titles with years, tags, and ratings over two decades.

The formats of the other MovieLens sets are read by `tests/features/ingest/test_source.py`.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SETTINGS = (
    "split.min_targets=100",
    "split.min_users=20",
    "fit.max_epochs=1",
    "gate.min_users=20",
)


def every_fourth_user(source: Path, target: Path) -> None:
    """The folder with the ratings of a quarter of its users."""
    target.mkdir()
    for path in source.iterdir():
        if path.name not in ("ratings.csv", "tags.csv"):
            shutil.copyfile(path, target / path.name)
            continue
        with path.open(newline="") as file, (target / path.name).open("w", newline="") as out:
            write = csv.writer(out).writerow
            for row in csv.reader(file):
                if not row[0].isdigit() or int(row[0]) % 4 == 0:
                    write(row)


def test_a_slice_of_movielens_is_replayed_to_its_end(
    real_data: Path, tmp_path: Path, checkout: Path
) -> None:
    every_fourth_user(real_data / "movielens-latest-small", tmp_path / "slice")
    drop = ("BENTOML_HOME", "PREFECT_HOME", "DVC_SITE_CACHE_DIR")
    result = subprocess.run(
        [
            sys.executable, "-m", "flows.loop", "--data", str(tmp_path / "slice"), "--waves", "1",
            "--reports", str(tmp_path / "reports"),
            *(part for value in SETTINGS for part in ("--set", value)),
        ],
        cwd=checkout,
        env={k: v for k, v in os.environ.items() if k not in drop}
        | {"RONDO_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    report = json.loads((tmp_path / "reports" / "loop.json").read_text())
    assert len(report["releases"]) == 1
    (wave,) = report["days"]
    assert wave["events"] > 500
    assert f"{wave['events']} sent, {wave['events']} stored" in result.stdout
    assert report["peak_rss_mb"] < 4096
