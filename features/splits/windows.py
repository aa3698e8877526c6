"""The three time windows of a training run, oldest first: fit, rank, judge."""

from base.record import Record


class Windows(Record):
    """Bounds in µs: fit is [start, fit_end), rank [fit_end, rank_end), judge [rank_end, judge_end].

    The transformer is trained on fit only, the trees on rank only, and nothing is trained on judge.
    """

    start: int
    fit_end: int
    rank_end: int
    judge_end: int
