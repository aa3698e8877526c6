"""A study: Optuna chooses what to try, and one SQLite file stores the results.

Only the process that opened a study accesses its file, even if trials run in parallel. It asks
Optuna for values and tells it results (`ask`, `tell`). Optuna's own grid, heartbeat, retries and
limit of trials work only in its own loop (docs/log.md).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import distribution_to_json
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from base.errors import InputError
from training.tuning.objective import Outcome
from training.tuning.space import Space, TuneParams, Values

LOSSES = 3
"""A trial is recorded as failed after its process was killed this often."""


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial.

    value: validation ndcg@10, or None with an `error`; seconds: wall time.
    """

    number: int
    state: Literal["finished", "failed"]
    values: Values
    value: float | None
    curve: list[float]
    error: str
    seconds: float


def study_name(space: Space, fingerprint: str, precision: str) -> str:
    """A name that is equal for comparable trials: same data, code, space and fixed parameters.

    The present values, the number of trials and the sampler are not part of it, so they may change
    during a study.
    """
    axes = {name: distribution_to_json(axis) for name, axis in space.distributions.items()}
    what = json.dumps([axes, space.fixed, fingerprint, precision], sort_keys=True)
    return f"{space.section}-{sha256(what.encode()).hexdigest()[:12]}"


class Study:
    """The trials so far, and what to try next."""

    def __init__(self, optuna_study: optuna.Study, space: Space, params: TuneParams) -> None:
        self.optuna = optuna_study
        self.space = space
        self.params = params
        self.running: dict[int, optuna.Trial] = {}
        for trial in self._trials(TrialState.RUNNING):
            self._lost(trial)  # left by a run that was killed
        if space.present not in self._known():
            self.optuna.enqueue_trial(space.present)

    def next(self) -> tuple[int, Values, str] | None:
        """Number, values and name of a trial to run. None if no more are to be started.

        A trial whose process was killed is run again under its first name. The present values are
        tried even if there are already enough trials.
        """
        while self._wanting():
            if not self._trials(TrialState.WAITING) and self.params.sampler == "grid":
                point = self._grid_point()
                if point is None:
                    return None
                self.optuna.enqueue_trial(point)
            self.optuna.sampler = self._sampler()
            trial = self.optuna.ask(self.space.distributions)
            self.running[trial.number] = trial
            values = trial.user_attrs.get("values") or self.space.tidy(trial.params)
            trial.set_user_attr("values", values)
            name = trial.user_attrs.get("name", f"trial-{trial.number:04d}")
            trial.set_user_attr("name", name)
            same = next((r for r in self.finished() if r.values == values), None)
            if same is None:
                return trial.number, values, name
            assert same.value is not None
            self.finish(trial.number, Outcome(same.value, tuple(same.curve)))
        return None

    def finish(self, number: int, outcome: Outcome) -> None:
        """Record the value of a trial."""
        trial = self.running.pop(number)
        trial.set_user_attr("curve", list(outcome.curve))
        self.optuna.tell(number, outcome.value)

    def fail(self, number: int, message: str) -> None:
        """Record the error of a trial. It counts as finished and is not tried again."""
        self.running.pop(number).set_user_attr("error", message)
        self.optuna.tell(number, state=TrialState.FAIL)

    def lose(self, number: int) -> None:
        """Record that a trial's process was killed.

        It runs again until it was killed LOSSES times.
        """
        del self.running[number]
        self._lost(self.optuna.trials[number])

    def interrupt(self) -> None:
        """Record that the running trials are stopped on purpose.

        They run again when the study continues.
        """
        for number in list(self.running):
            del self.running[number]
            self._again(self.optuna.trials[number], 0)

    def records(self) -> list[TrialRecord]:
        """The finished trials, by number."""
        trials = self._trials(TrialState.COMPLETE, TrialState.FAIL)
        return [self._record(trial) for trial in trials if not _to_be_repeated(trial)]

    def finished(self) -> list[TrialRecord]:
        """The records that have a value."""
        return [record for record in self.records() if record.value is not None]

    def best(self) -> TrialRecord | None:
        """The record with the highest value, or the first of several."""
        return max(self.finished(), key=lambda r: (r.value, -r.number), default=None)

    def present(self) -> TrialRecord | None:
        """The record of the present values, failed or not."""
        return next((r for r in self.records() if r.values == self.space.present), None)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False, states=states)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        failed = trial.state == TrialState.FAIL
        return TrialRecord(
            trial.number,
            "failed" if failed else "finished",
            self._values(trial),
            None if failed else trial.value,
            trial.user_attrs.get("curve", []),
            trial.user_attrs.get("error", ""),
            trial.duration.total_seconds() if trial.duration else 0.0,
        )

    def _known(self) -> list[Values]:
        """Values that were tried, are being tried or are waiting."""
        trials = self.optuna.get_trials(deepcopy=False)
        return [self._values(trial) for trial in trials if not _to_be_repeated(trial)]

    def _values(self, trial: FrozenTrial) -> Values:
        fixed = trial.system_attrs.get("fixed_params")
        values: Values = trial.user_attrs.get("values") or fixed or self.space.tidy(trial.params)
        return values

    def _wanting(self) -> bool:
        done = self.records()
        tried = [r.values for r in done] + [t.user_attrs["values"] for t in self.running.values()]
        return len(tried) < self.params.trials or self.space.present not in tried

    def _grid_point(self) -> Values | None:
        known = self._known()
        points = self.space.grid(self.params.grid_points, self.params.seed)
        return next((point for point in points if point not in known), None)

    def _sampler(self) -> BaseSampler:
        # Seed by the number of the trial, so that an interrupted study draws the same values as an
        # uninterrupted one.
        count = len(self._known())
        seed = int(np.random.SeedSequence((self.params.seed, count)).generate_state(1)[0])
        if self.params.sampler == "tpe":
            return TPESampler(seed=seed)
        return RandomSampler(seed=seed)

    def _lost(self, trial: FrozenTrial) -> None:
        losses = trial.user_attrs.get("losses", 0) + 1
        if losses < LOSSES:
            self._again(trial, losses)
            return
        self.optuna.tell(trial.number, state=TrialState.FAIL)
        self.optuna.add_trial(
            optuna.create_trial(
                state=TrialState.FAIL,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs=trial.user_attrs | {"error": f"its process was killed {losses} times"},
            )
        )

    def _again(self, trial: FrozenTrial, losses: int) -> None:
        self.optuna.tell(trial.number, state=TrialState.FAIL)
        values = self._values(trial)
        if set(values) == set(self.space.distributions):  # not killed while drawing values
            name = trial.user_attrs.get("name", f"trial-{trial.number:04d}")
            attributes = {"values": values, "name": name, "losses": losses}
            self.optuna.enqueue_trial(values, attributes)


def _to_be_repeated(trial: FrozenTrial) -> bool:
    """Whether a trial failed without an error of its own.

    Then its process was killed and it was queued again.
    """
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs


@contextmanager
def open_study(folder: Path, name: str, space: Space, params: TuneParams) -> Iterator[Study]:
    """Open the study `name` in `folder/study.db`, new or as an earlier run left it.

    Raises InputError if another process has it open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = FileLock(folder / "study.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"study {name} is running already in another process") from None
    storage = RDBStorage(f"sqlite:///{folder / 'study.db'}")
    try:
        opened = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        yield Study(opened, space, params)
    finally:
        storage.remove_session()
        storage.engine.dispose()
        lock.release()
