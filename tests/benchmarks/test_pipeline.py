"""The pipeline benchmark at a small size: its logs, its stages and its exponents."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import made_source, pipeline
from benchmarks.made_source import Size
from features.schema import DAY, EVENT, ITEM
from training.sources.all import SOURCES


def read(folder: Path, size: Size) -> tuple[pa.Table, pa.Table]:
    made_source.write(folder, size, seed=3)
    tables = (pq.read_table(folder / f"{name}.parquet") for name in ("events", "items"))
    events, items = tables
    return events, items


@pytest.mark.parametrize("chunk", [700, 10**6])
def test_a_made_source_is_like_a_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(made_source, "CHUNK", chunk)
    size = Size(20_000, 300, 400)
    events, items = read(tmp_path, size)
    assert events.schema == EVENT
    assert items.schema == ITEM
    assert events.num_rows == size.events
    assert len(events["event_id"].unique()) == size.events
    assert len(items["item_id"].unique()) == size.items
    assert items.num_rows > size.items, "no item has a second version"
    days = np.unique(events["timestamp"].cast(pa.int64()).to_numpy() // DAY)
    assert days[-1] - days[0] == size.days - 1
    assert np.diff(days).max() > size.days // 10, "no gap"
    assert len(days) < 0.8 * size.days
    counts = np.sort(events["item_id"].value_counts().field("counts").to_numpy())[::-1]
    assert counts[:10].sum() > 0.25 * size.events, "no head"
    assert (counts[len(counts) // 2 :] < counts[0] / 20).all(), "no tail"
    late = pc.sum(pc.greater(events["received_at"], events["timestamp"])).as_py()
    assert 0.01 * size.events < late < 0.03 * size.events
    clicked = pc.equal(events["event_type"], "click")
    assert pc.all(pc.is_valid(events.filter(clicked)["request_id"])).as_py()
    known = dict(zip(items["item_id"].to_pylist(), items["received_at"].to_pylist(), strict=True))
    assert set(events["item_id"].to_pylist()) <= set(known)


def test_the_stages_are_those_of_the_pipeline_in_its_order(checkout: Path) -> None:
    found = pipeline.stages(checkout)
    sources = [source.name for source in SOURCES if source.stage == source.name]
    first = ["ingest", "split", "fit", "features"]
    assert list(found) == [*first, *sources, "candidates", "trees", "evaluate", "package"]
    assert not [command for command in found.values() if "${" in command]


def test_an_exponent_is_that_of_the_seconds_beyond_the_start() -> None:
    def point(series: str, size: int, **seconds: float) -> dict[str, Any]:
        cost = {name: {"cpu_seconds": value} for name, value in seconds.items()}
        return {"series": series, "events": size, "items": size, "days": size, "stages": cost}

    found = [
        point("start", 1, split=5.0, fit=3.0),
        point("events", 10**4, split=5.1, fit=4.0),
        point("events", 10**5, split=7.0, fit=103.0),
        point("events", 10**6, split=25.0, fit=10_003.0),
        point("items", 10**6, split=99.0, fit=3.1),
    ]
    powers = pipeline.exponents(found)
    assert powers["events"] == {"split": 1.0, "fit": 2.0}
    assert powers["items"] == {"split": None, "fit": None}, "one point tells nothing"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_stage_is_measured_and_the_report_says_how_it_grows(
    tmp_path: Path, checkout: Path
) -> None:
    command = [
        sys.executable, "-m", "benchmarks.pipeline", "--events", "8e3", "--items", "--days",
        "--at-items", "400", "--at-days", "60", "--reports", str(tmp_path),
        "--set", "fit.tail_queries=50",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "bench-pipeline.json").read_text())
    assert [(p["series"], p["events"], p["days"]) for p in report["points"]] == [
        ("start", 5000, 10),
        ("events", 8000, 60),
    ]
    for point in report["points"]:
        assert list(point["stages"]) == list(pipeline.stages(checkout))
        for cost in point["stages"].values():
            assert cost["seconds"] > 0
            assert cost["cpu_seconds"] > 0.05
            assert cost["peak_mb"] > 50
    assert set(report["exponents"]) == {"events", "items", "days"}
    assert done.stdout.count("exponent of") == 3


def test_a_wrong_setting_ends_in_one_line(tmp_path: Path, checkout: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.pipeline", "--set", "fit.max_epochs"]
    command += ["--reports", str(tmp_path)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("bench-pipeline: --set fit.max_epochs")
    assert len(done.stderr.splitlines()) == 1
