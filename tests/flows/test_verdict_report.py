"""The page of a verdict."""

import math

from features.people.counts import SetAside
from flows.learning_curve import Curve
from flows.verdict_report import markdown, page
from tests.training.test_gate import GOOD
from training.check import Check
from training.gate import Verdict

VERDICT = Verdict(
    decision="hold",
    checks=(
        Check("users", True, 400.0, 100.0, "400 judged users"),
        Check("past", None, None, None, "unknown: <nothing>"),
        Check("champion", False, 0.00001, math.nan, "clearly worse"),
        Check("data.events", True, 10810.0, 1000.0, "enough"),
    ),
)


def test_the_page_shows_every_check_and_metric() -> None:
    text = page("ab" * 32, VERDICT, GOOD, Curve([2.0], [0.1]))
    assert "<h1>Verdict on release abababababab: hold</h1>" in text
    cells = ('"text passed">passed<td>400<td>100', "unknown: &lt;nothing&gt;", "<td>1e-05")
    for shown in (*cells, "<td>10,810<td>1,000"):
        assert shown in text
    assert "None" not in text
    assert '<td class="text">popularity<td>0.1500' in text
    assert 'alt="loss: 2 in epoch 1, 2 in epoch 1; ndcg@10 on the tail: 0.1' in text


def test_the_page_says_who_was_set_aside_and_why() -> None:
    counts = SetAside(
        users=3, all_users=1200, events=90, all_events=5000, capped=7,
        reasons={"act by a clock": 1, "push <one> item together": 2},
    )  # fmt: skip
    evidence = GOOD.model_copy(update={"set_aside": counts})
    text = page("ab" * 32, VERDICT, evidence, Curve([], []))
    assert "3 of 1,200 users with 90 of 5,000 events" in text
    assert text.index("push &lt;one&gt; item together<td>2") < text.index("act by a clock<td>1")
    assert "- 1 × act by a clock" in markdown("ab" * 32, VERDICT, evidence)
    assert "set aside" not in page("ab" * 32, VERDICT, GOOD, Curve([], []))


def test_without_learning_curves_there_is_no_picture() -> None:
    text = page("ab" * 32, VERDICT, GOOD, Curve([], []))
    assert "<img" not in text
    assert "Learning curves" not in text
