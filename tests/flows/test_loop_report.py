"""The report of a run holds what was promised, on both kinds of run."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows import loop_report


def difference(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}


def content(days: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "wall_seconds": 1.0,
        "peak_rss_mb": 2.0,
        "seed": 3,
        "control": False,
        "releases": [{"release": "ab" * 32, "verdict": "hold", "reasons": ["<too few> users"]}],
        "days": days,
        "pooled": {},
        "steps": {"retrain": 4.0},
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
    }
    for day in range(3)
]
REPLAYED = [
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
