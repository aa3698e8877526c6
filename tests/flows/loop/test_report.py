"""The report of a run holds the documented content, for both kinds of run."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.loop import report as loop_report
from training.bootstrap import UNKNOWN, Interval


def difference(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def content(
    days: list[dict[str, Any]], pooled: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "wall_seconds": 1.0,
        "peak_rss_mb": 2.0,
        "seed": 3,
        "control": False,
        "confidence": 0.9,
        "releases": [{"release": "ab" * 32, "verdict": "hold", "reasons": ["<too few> users"]}],
        "days": days,
        "pooled": pooled or {},
        "steps": {"start": 1.5, "retrain": 4.0, "retrain.features+fit": 2.5},
    }


SIMULATED = [
    {
        "day": day,
        "sessions": 10,
        "ctr": 0.1,
        "events": 100,
        "reward": {
            "served": 1.0,
            "frozen": 0.9,
            "popularity": 0.8,
            "oracle": 2.0,
            "served_minus_frozen": difference(0.1),
            "served_minus_popularity": difference(0.2),
        },
        "greedy": {"served": 1.25, "frozen": 1.125, "popularity": 0.8125, "oracle": 2.0625},
    }
    for day in range(3)
]
REPLAYED: list[dict[str, Any]] = [
    {"day": 1, "sessions": 10, "ctr": None, "events": 100}
    | {
        metric: {
            "served": 0.2,
            "transformer": 0.1,
            "frozen": 0.15,
            "popularity": 0.05,
            **{
                f"served_minus_{system}": difference(0.1)
                for system in ("transformer", "frozen", "popularity")
            },
        }
        for metric in ("ndcg@10", "recall@10")
    }
]


@pytest.mark.parametrize(
    ("days", "figures"),
    [
        (SIMULATED, {"reward.png", "reward-differences.png"}),
        (
            REPLAYED,
            {
                f"{metric}-at-10{kind}.png"
                for metric in ("ndcg", "recall")
                for kind in ("", "-differences")
            },
        ),
        ([], set()),
    ],
)
def test_page_figures_and_numbers_are_written(
    tmp_path: Path, days: list[dict[str, Any]], figures: set[str]
) -> None:
    page = loop_report.write(content(days), tmp_path)
    assert json.loads((tmp_path / "loop.json").read_text())["days"] == days
    assert {path.name for path in tmp_path.glob("*.png")} == figures
    text = page.read_text()
    assert text.count("<img") == len(figures)
    assert "&lt;too few&gt; users" in text


def test_the_page_shows_greedy_values_and_the_level_of_its_intervals(tmp_path: Path) -> None:
    text = loop_report.write(content(SIMULATED), tmp_path).read_text()
    for value in ("1.2500", "1.1250", "0.8125", "2.0625"):
        assert text.count(value) == len(SIMULATED)
    assert "two-sided at 90%" in text
    assert "+0.1000 [+0.0000, +0.2000]" in text


def test_the_page_shows_all_waves_together(tmp_path: Path) -> None:
    pooled = {m: REPLAYED[0][m] | {"served": 0.3125} for m in ("ndcg@10", "recall@10")}
    text = loop_report.write(content(REPLAYED, pooled), tmp_path).read_text()
    assert text.count("<td>all") == text.count("0.3125") == 2
    assert "real data" in text


def test_parts_of_a_step_are_told_apart_from_steps(tmp_path: Path) -> None:
    text = loop_report.write(content(SIMULATED), tmp_path).read_text()
    assert '<td class="text">retrain<td>4.0' in text
    assert '<td class="text part">features+fit<td>2.5' in text


def test_what_is_unknown_is_null_and_drawn_as_a_gap(tmp_path: Path) -> None:
    nothing = {"mean": None, "low": None, "high": None}
    unknown = {k: nothing if "_" in k else None for k in REPLAYED[0]["ndcg@10"]}
    days = [*REPLAYED, REPLAYED[0] | {"day": 2, "ndcg@10": unknown, "recall@10": unknown}]
    page = loop_report.write(content(days), tmp_path)
    assert "nan" not in page.read_text().split("<table>", 1)[1]
    assert "None" not in page.read_text()


def test_numbers_and_intervals_are_written_in_one_way() -> None:
    interval = Interval(0.5, 0.25, 0.75)
    assert Interval.of(interval.plain()) == interval
    assert loop_report.number(interval.plain()) == str(interval) == "+0.5000 [+0.2500, +0.7500]"
    assert loop_report.number(UNKNOWN.plain()) == loop_report.number(None) == ""
    assert loop_report.number(0.5) == "0.5000"
