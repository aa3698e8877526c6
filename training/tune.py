"""`make tune`: search for better values of a section of `params.yaml`, on validation data only.

Reads `data/split` (section `fit`) or `data/candidates` (section `trees`), and the ranges in section
`tune`. Writes the best values back to `params.yaml`, and reports to `reports/tune.json` and
`tune.html`.

    make tune TRIALS=20 JOBS=2
    python -m training.tune --section fit --trials 4 --sampler random --dry-run

A study is stored in `RONDO_HOME/tune`. Running the command again continues it; a killed trial
resumes from its last epoch.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final, get_args

from base import params_file
from base.errors import InputError
from base.params import DEFAULT_PATH, ParamsError, build, read
from base.settings import Settings
from training.transformer.config import RunOptions
from training.tuning import report
from training.tuning.objective import Outcome, Task, fingerprint
from training.tuning.space import Sampler, Section, TuneParams, space
from training.tuning.study import Study, open_study, study_name
from training.tuning.workers import Failure, Here, Lost, Processes, Result, Workers

DATA: Final[dict[Section, Path]] = {"fit": Path("data/split"), "trees": Path("data/candidates")}


def tune(
    section: Section,
    data: Path,
    params_path: Path,
    reports: Path,
    settings: Settings,
    options: RunOptions,
    overrides: dict[str, Any] | None = None,
    dry_run: bool = False,
) -> report.Summary:
    """Search, report, and write the best values back unless `dry_run`.

    overrides: values for keys of section `tune`. Raises InputError, and leaves `params.yaml`
    unchanged, if parameters or data are unusable or every trial failed.
    """
    content = read(params_path)
    for name in ("tune", section):
        if not isinstance(content.get(name), dict):
            raise ParamsError(f"{params_path} has no section '{name}'")
    params = build(TuneParams, "tune", content["tune"] | (overrides or {}))
    searched = space(section, getattr(params, section), content[section])
    options = share(options, params.jobs)
    name = study_name(searched, fingerprint(section, data), options.precision)
    folder = settings.root / "tune" / name
    with open_study(folder, name, searched, params) as study:
        task = Task(searched, data.absolute(), options, folder, settings.root)
        workers = Here(task) if params.jobs == 1 else Processes(task, params.jobs, folder / "logs")
        try:
            search(study, workers)
        finally:
            workers.close()
        records, best, present = study.records(), study.best(), study.present()
    if best is None:
        raise InputError(f"every trial failed, the last one with: {records[-1].error}")
    better = present is None or present.value is None or present.value < (best.value or 0.0)
    changed = {k: v for k, v in best.values.items() if v != searched.present[k]} if better else {}
    edits = {f"{section}.{key}": value for key, value in changed.items()}
    summary = report.Summary(
        section,
        name,
        params.sampler,
        records,
        best.number,
        present.number if present else None,
        params_file.difference(params_path, edits),
        written=bool(edits) and not dry_run,
    )
    if summary.written:
        params_file.edit(params_path, edits)
    page = report.write(summary, reports)
    print(report.table(summary))
    print(report.conclusion(summary))
    print(f"report      {page}")
    return summary


def share(options: RunOptions, jobs: int) -> RunOptions:
    """What each of `jobs` parallel trials may use: one device, and its part of the CPU threads."""
    threads = options.threads if jobs == 1 else min(options.threads, (os.cpu_count() or 1) // jobs)
    return options.model_copy(
        update={"devices": 1, "num_nodes": 1, "strategy": "auto", "threads": max(1, threads)}
    )


def search(study: Study, workers: Workers) -> None:
    """Run trials until the study has enough, printing one line each. Ctrl-C leaves it resumable."""
    try:
        while True:
            while workers.free and (trial := study.next()):
                workers.start(*trial)
            if not study.running:
                return
            number, result = workers.wait()
            if isinstance(result, Outcome):
                study.finish(number, result)
            elif isinstance(result, Failure):
                study.fail(number, result.message)
            else:
                study.lose(number)
            _tell(study, number, result)
    except (KeyboardInterrupt, SystemExit) as stopped:  # Lightning turns Ctrl-C into SystemExit
        study.interrupt()
        raise KeyboardInterrupt from stopped


def _tell(study: Study, number: int, result: Result) -> None:
    if isinstance(result, Lost):
        print(f"trial {number}: its process was killed", flush=True)
        return
    records = study.records()
    record = next(record for record in records if record.number == number)
    value = f"failed: {record.error}" if record.value is None else f"{record.value:.4f}"
    print(
        f"trial {number} ({len(records)} of {study.params.trials}): {value}; "
        f"{report.plain(record.values)}; {record.seconds:.1f} s",
        flush=True,
    )


def main() -> None:
    """Parse the command line and search.

    Unusable input gives a one-line message and exit status 1.
    """
    parser = argparse.ArgumentParser(prog="python -m training.tune", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--section", choices=get_args(Section), default="fit")
    parser.add_argument("--trials", type=int, help="finished trials in all")
    parser.add_argument("--sampler", choices=get_args(Sampler))
    parser.add_argument("--jobs", type=int, help="trials at a time")
    parser.add_argument("--data", type=Path, help="default: data/split, or data/candidates")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--dry-run", action="store_true", help="leave params.yaml as it is")
    arguments = parser.parse_args()
    section: Section = arguments.section
    given = {name: getattr(arguments, name) for name in ("trials", "sampler", "jobs")}
    try:
        tune(
            section,
            arguments.data or DATA[section],
            DEFAULT_PATH,
            arguments.reports,
            Settings(),
            RunOptions(),
            {name: value for name, value in given.items() if value is not None},
            arguments.dry_run,
        )
    except InputError as error:
        sys.exit(f"tune: {error}")
    except KeyboardInterrupt:
        sys.exit("tune: stopped; run the same command to continue")


if __name__ == "__main__":
    main()
