"""Which release refreshes may not fall below."""

import pytest

from flows.contests import reference_release
from tests.training.test_gate import CHAMPION, CONTEST, GOOD, altered
from training.evidence import Evidence

FIRST = GOOD.without_champion()
REFRESH = altered(GOOD, reference_release="old")
CHANGED = altered(GOOD, fingerprint="other", reference_release="old")
TWIN = altered(CHANGED, twin=CONTEST.model_copy(update={"release": "same", "change": 0.05}))
FRESHER = CHAMPION.model_copy(update={"contest": CONTEST.model_copy(update={"change": 0.05})})
assert CHAMPION.fingerprint == REFRESH.fingerprint != CHANGED.fingerprint


@pytest.mark.parametrize(
    ("own", "by_gate", "withdrawn", "expected"),
    [
        (FIRST, True, (), "now"),
        (FIRST, False, (), "now"),  # the first release, by way of a canary
        (CHANGED, True, (), "now"),
        (altered(CHANGED, twin_equal=True), True, (), "old"),
        (TWIN, True, (), "old"),  # better than its twin, and not shown to be than what served
        (altered(TWIN, champion=FRESHER), True, (), "now"),
        (CHANGED, False, (), "old"),  # a canary that was not much worse
        (REFRESH, True, (), "old"),
        (REFRESH, True, ("old",), "now"),
        (altered(REFRESH, reference_release=None), True, (), "now"),
    ],
)
def test_only_the_first_release_or_one_shown_to_be_better_is_the_reference(
    own: Evidence, by_gate: bool, withdrawn: tuple[str, ...], expected: str
) -> None:
    assert reference_release("now", own, by_gate, withdrawn) == expected
