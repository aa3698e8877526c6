"""A campaign's policies are valued from each other's logs; real ones and one made here."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.ope.bandit import draw, report
from benchmarks.ope.open_bandit import CampaignError, read

RATES = np.array([0.02, 0.05, 0.1, 0.3])
BTS = np.array([0.1, 0.2, 0.3, 0.4])


def write(folder: Path, chances, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    items, slots = random.choice(4, rows, p=chances), random.integers(1, 4, rows)
    clicks = random.random(rows) < RATES[items]
    lines = ["timestamp,item_id,position,click,propensity_score,user_feature_0"]
    for item, slot, click in zip(items, slots, clicks, strict=True):
        user = random.integers(0, 300)
        lines.append(f"2019-11-24,{item},{slot},{int(click)},{chances[item]},{user}")
    folder.mkdir(parents=True)
    (folder / "made.csv").write_text("\n".join(lines) + "\n")
    (folder / "item_context.csv").write_text("item_id\n0\n")


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    write(tmp_path / "random", np.full(4, 0.25), 6000, 3)
    write(tmp_path / "bts", BTS, 6000, 4)
    return tmp_path


def test_values_from_the_other_log_are_the_true_ones(campaign: Path, tmp_path: Path) -> None:
    content = report(campaign)
    for policy, chances in (("random", np.full(4, 0.25)), ("bts", BTS)):
        for name, row in content["policies"][policy]["estimates"].items():
            assert row["low"] < chances @ RATES < row["high"], (policy, name)
            assert not row["reason"]
        dr = content["policies"][policy]["estimates"]["dr"]
        assert dr["mean"] == pytest.approx(chances @ RATES, rel=0.1)
    draw(content, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_a_log_too_small_abstains_and_says_why(tmp_path: Path) -> None:
    write(tmp_path / "random", np.full(4, 0.25), 150, 1)
    write(tmp_path / "bts", BTS, 150, 2)
    row = report(tmp_path)["policies"]["bts"]["estimates"]["ips"]
    assert "effective sample size" in row["reason"]


def test_the_mens_campaign_agrees_with_its_own_logs(real_data: Path) -> None:
    content = report(real_data / "open-bandit-men")
    for found in content["policies"].values():
        for name, row in found["estimates"].items():
            assert row["low"] < found["on_policy"]["mean"] < row["high"], name


def test_a_folder_that_is_no_campaign_is_one_clear_line(campaign: Path) -> None:
    path = campaign / "bts" / "made.csv"
    path.write_text(path.read_text().replace("propensity_score", "p"))
    with pytest.raises(CampaignError, match="no column propensity_score"):
        read(campaign)
    path.unlink()
    with pytest.raises(CampaignError, match="0 logs"):
        read(campaign)
