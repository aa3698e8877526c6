"""The three time windows of a training run, oldest to newest: fit, rank, judge."""

from base.record import Record


class Windows(Record):
    """Bounds in µs: fit is [start, fit_end), rank [fit_end, rank_end), judge [rank_end, judge_end].

    The transformer sees only fit, the trees only rank, and judge is never trained on.
    """

    start: int
    fit_end: int
    rank_end: int
    judge_end: int
