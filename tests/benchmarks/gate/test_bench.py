"""The whole benchmark on a small world: two releases are trained, shown and judged."""

import json
from pathlib import Path

import pytest

from benchmarks.gate import playing, tasks
from benchmarks.gate.bank import Bank
from benchmarks.gate.page import write
from benchmarks.gate.recipes import RECIPES
from benchmarks.gate.results import gather
from training.thresholds import GateParams

#: What the issue that asked for the benchmark named.
KEYS = {
    "aa_false_promotion", "power", "refresh", "ope_coverage", "ope_bias", "ope_se_10000", "swing",
    "rank_correlation", "canary_false_rollback", "canary_detection", "planted_failures",
    "poisoning_exposure_ratio",
}  # fmt: skip


@pytest.mark.slow
def test_a_small_bank_is_built_once_played_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = Bank.of(1, tmp_path, humans=400, initial_items=400, new_items=5, sessions_per_day=150)
    few = {name: RECIPES[name] for name in ("seed1", "seed2")}
    for name, recipe in few.items():
        assert bank.build(name, recipe) > 0
    assert bank.build("seed2", few["seed2"]) == 0.0
    monkeypatch.setattr(tasks, "RECIPES", few)
    monkeypatch.setattr(tasks, "REFRESHES", few)
    for kind in tasks.DAYS:
        monkeypatch.setitem(tasks.DAYS, kind, 3)
    clip = GateParams().clip
    wanted = playing.tasks([bank], dict.fromkeys(tasks.TASKS, 1), clip)
    for task in wanted:
        playing.play(task)
    reports = tmp_path / "reports"
    write(gather(wanted, GateParams(), reports), reports)
    found = json.loads((reports / "bench-gate.json").read_text())
    assert found.keys() >= KEYS
    assert found["runs"] == 1
    assert {row["replicates"] for row in found["power"] + found["refresh"]} == {1}
    assert found["values"]["by_days"]["1"]["coverage"]["count"] == 3
    assert (reports / "bench-gate.html").read_text().count("<img ") == 9
