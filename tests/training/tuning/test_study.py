"""What a study stores, on a real file. The results of trials are given by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from base.errors import InputError
from tests.training.transformer.synthetic import OPTIONS
from training.tuning.objective import Outcome, Task
from training.tuning.space import Axis, Sampler, Space, TuneParams, space
from training.tuning.study import LOSSES, Study, open_study, study_name
from training.tuning.workers import Lost, Processes

AXES = {"dropout": Axis(low=0.0, high=0.9), "size": Axis(choices=("tiny", "small"))}
PRESENT = {"dropout": 0.3, "size": "tiny"}


def searched() -> Space:
    return space("fit", AXES, PRESENT)


@contextmanager
def study(folder: Path, sampler: Sampler = "random", trials: int = 5) -> Iterator[Study]:
    with open_study(folder, "s", searched(), TuneParams(sampler, trials)) as opened:
        yield opened


def run_all(opened: Study) -> list[dict[str, object]]:
    """Run all trials. The value of each is its dropout."""
    tried = []
    while trial := opened.next():
        number, values, _ = trial
        tried.append(values)
        opened.finish(number, Outcome(values["dropout"]))
    return tried


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_the_present_values_are_tried_first_by_every_sampler(
    tmp_path: Path, sampler: Sampler
) -> None:
    with study(tmp_path, sampler) as opened:
        tried = run_all(opened)
        assert tried[0] == PRESENT
        assert len(tried) == len(opened.records()) == 5
        present, best = opened.present(), opened.best()
    assert present is not None
    assert best is not None
    assert present.value == 0.3
    assert best.value == max(values["dropout"] for values in tried)  # type: ignore[type-var]


def test_tpe_looks_where_it_was_good(tmp_path: Path) -> None:
    with study(tmp_path, "tpe", trials=30) as opened:
        tried = run_all(opened)
    late = [float(str(values["dropout"])) for values in tried[18:]]
    assert sum(value > 0.7 for value in late) > len(late) / 2


def test_a_grid_ends_when_every_point_was_tried(tmp_path: Path) -> None:
    with study(tmp_path, "grid", trials=100) as opened:
        tried = run_all(opened)
    points = {(values["dropout"], values["size"]) for values in tried}
    assert points == {(d, s) for d in (0.0, 0.45, 0.9) for s in ("tiny", "small")} | {(0.3, "tiny")}
    assert len(tried) == 7


def test_several_trials_at_a_time_are_never_more_than_asked_for(tmp_path: Path) -> None:
    with study(tmp_path, trials=3) as opened:
        running = [opened.next() for _ in range(4)]
        assert running[3] is None
        for trial in running[:3]:
            assert trial is not None
            opened.fail(trial[0], "no luck")
        assert opened.next() is None
        assert [record.error for record in opened.records()] == ["no luck"] * 3
        assert opened.best() is None


def test_values_that_were_measured_are_not_measured_again(tmp_path: Path) -> None:
    axes = {"size": Axis(choices=("tiny", "small"))}
    two = space("fit", axes, PRESENT)
    with open_study(tmp_path, "s", two, TuneParams("random", trials=20)) as opened:
        measured = 0
        while trial := opened.next():
            opened.finish(trial[0], Outcome(1.0 + measured, (0.5,)))
            measured += 1
        assert measured == 2
        assert len(opened.records()) == 20


def test_present_values_that_were_changed_meanwhile_are_tried_before_they_are_replaced(
    tmp_path: Path,
) -> None:
    with study(tmp_path, trials=2) as opened:
        run_all(opened)
    moved = space("fit", AXES, {"dropout": 0.25, "size": "small"})
    with open_study(tmp_path, "s", moved, TuneParams("random", 2)) as opened:
        assert run_all(opened) == [moved.present]
        assert opened.present() is not None


def test_a_killed_run_leaves_trials_that_come_again_under_their_names(tmp_path: Path) -> None:
    with study(tmp_path) as opened:
        before = [opened.next(), opened.next()]
    with study(tmp_path) as opened:
        assert opened.records() == []
        after = [opened.next(), opened.next()]
    for first, second in zip(before, after, strict=True):
        assert first is not None
        assert second is not None
        assert first[1:] == second[1:]


def test_a_trial_whose_process_dies_each_time_is_recorded_as_failed(tmp_path: Path) -> None:
    with study(tmp_path, trials=1) as opened:
        for _ in range(LOSSES):
            trial = opened.next()
            assert trial is not None
            assert trial[1] == PRESENT
            opened.lose(trial[0])
        assert opened.next() is None
        [record] = opened.records()
        assert record.error == "its process was killed 3 times"
        assert record.values == PRESENT


def test_stopping_on_purpose_is_never_held_against_a_trial(tmp_path: Path) -> None:
    for _ in range(LOSSES + 1):
        with study(tmp_path, trials=1) as opened:
            assert opened.next() is not None
            opened.interrupt()
    with study(tmp_path, trials=1) as opened:
        assert run_all(opened) == [PRESENT]


def test_a_study_is_open_in_one_process_at_a_time(tmp_path: Path) -> None:
    with study(tmp_path), pytest.raises(InputError, match="running already"), study(tmp_path):
        pass


def test_a_name_stands_for_what_can_be_compared() -> None:
    name = study_name(searched(), "abc", "32-true")
    moved = space("fit", AXES, PRESENT | {"dropout": 0.2})
    other = space("fit", AXES, PRESENT | {"max_epochs": 9})
    assert name.startswith("fit-")
    assert study_name(moved, "abc", "32-true") == name
    assert study_name(other, "abc", "32-true") != name
    assert study_name(searched(), "abd", "32-true") != name


def test_a_killed_process_is_noticed_and_frees_its_place(tmp_path: Path) -> None:
    task = Task(searched(), tmp_path / "split", OPTIONS, tmp_path, tmp_path)
    processes = Processes(task, 2, tmp_path / "logs")
    try:
        processes.start(0, PRESENT, "trial-0000")
        [(worker, _)] = processes._busy.values()
        worker.process.kill()
        assert processes.wait() == (0, Lost())
        assert processes.free == 2
    finally:
        processes.close()
