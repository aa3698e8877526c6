"""Check that what was served equals what training computes for the same requests (DESIGN, rule 5).

The newest logged requests are computed again as training does: the user's features and impressions
at the snapshot that was served, history and hidden items as known at the request, and the scores of
the release that served. Each must equal what was logged.

Batch features are computed for the snapshot that the request says it read, since the age of that
snapshot depends only on when retrains ran. If it is older than the snapshots that training reads,
features are computed again from there on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from base.arrays import Bools, Int64s
from features.batch.reaching import features_since, oldest
from features.batch.snapshots import Snapshots
from features.items.catalogue import Catalogue
from features.ragged import Ragged
from features.requests import context
from features.requests.context import Context
from features.requests.late_items import first_known, without_late_items
from features.requests.parity import offline_requests, user_parts
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue
from features.schema import ITEM_FEATURES
from features.splits.windowing import Rules
from features.splits.windows import Windows
from flows.rollout import CHANNEL, Rollout
from flows.workspace import Workspace
from serving import channels
from serving.fallback import NO_ONLINE_STORE
from serving.feedback_log import FeedbackLog
from serving.release import Release
from training.check import Check
from training.fingerprint import same_features
from training.thresholds import GateParams

NAME: Final = "serving.parity"
PARTS: Final = ("user_features", "impressed", "history", "hidden", "scores")


@dataclass(frozen=True)
class Skew:
    """The result of a comparison.

    compared, differing: number of requests by part; example: a request that differs, and how;
    without_store: requests that were answered without the online store, or with an empty one.
    """

    compared: dict[str, int]
    differing: dict[str, int]
    example: str = ""
    without_store: int = 0

    @property
    def worst(self) -> float:
        """The largest share of differing requests of a part; NaN if nothing was compared."""
        shares = [self.differing[part] / n for part, n in self.compared.items() if n]
        return max(shares, default=float("nan"))


def serving_parity(
    workspace: Workspace, rollout: Rollout, release: str, thresholds: GateParams
) -> Check:
    """The check of the newest requests.

    Without comparable requests it has no result, and the gate holds.
    """
    data = workspace.root / "data"
    end = Windows.read(data / "split" / "windows.json").judge_end
    newest = FeedbackLog(rollout.engine).newest_requests(end, thresholds.parity_requests)
    rows = [row for row in newest if row["release"] is not None]
    if not rows:
        # A service without a release knows only the items that it was sent itself.
        fair = not newest or channels.read(rollout.engine, CHANNEL) is None
        reason = "no request was served by a release before the end of the data"
        return Check(NAME, True if fair else None, None, None, reason)
    try:
        skew = measure(
            data / "split",
            data / "features",
            rows,
            lambda identity: Release.open(rollout.fetch(identity)),
            Release.open(rollout.fetch(release)),
            thresholds,
        )
    except Exception as error:  # on any error, parity is unknown
        return Check(NAME, None, None, None, f"requests could not be computed again: {error}")
    return judged(skew, len(rows), thresholds.max_skew_share)


def judged(skew: Skew, requests: int, limit: float) -> Check:
    """The check of a measured skew."""
    if not any(skew.compared.values()):
        reason = f"none of {requests} logged requests can be compared with training"
        if skew.without_store:
            reason += (
                f": {skew.without_store} were answered without the online store (a service in "
                "another home than the retrain's shares one by RONDO_REDIS_URL; one that was lost "
                "is made again by `rondo rebuild-online`)"
            )
        return Check(NAME, None, None, limit, reason)
    told = ", ".join(
        f"{part} {skew.differing[part]} of {skew.compared[part]}"
        if skew.compared[part]
        else f"{part} not comparable"
        for part in PARTS
    )
    reason = f"served unlike training: {told}; at most {limit:.0%} allowed"
    passed = skew.worst <= limit
    if skew.example and not passed:
        reason += f"; such as {skew.example}"
    return Check(NAME, passed, skew.worst, limit, reason)


def measure(
    split: Path,
    features: Path,
    rows: Sequence[Mapping[str, Any]],
    open_release: Callable[[str], Release],
    challenger: Release,
    thresholds: GateParams,
) -> Skew:
    """Compare requests that releases served (rows of `requests`) with `data/split` and
    `data/features`.

    challenger: the release made from these data. Not compared are: batch features and scores of a
    release that defines features differently, histories of a release with another rule for ratings,
    scores of requests before the windows, and anything served without the online store. Raises
    ReleaseError if a release that served is not available.
    """
    known = set(pq.read_table(split / "users.parquet")["user_id"].to_pylist())
    by_release: dict[str, list[tuple[str, Context]]] = {}
    without_store = 0
    catalogue = load_catalogue(split)
    reader = context.Reader(catalogue.item_ids)
    for row in rows:
        logged = reader.read(row["context"])
        if logged.features_at == 0 or NO_ONLINE_STORE in (row["fallback"] or ""):
            without_store += 1
        elif logged.user_id in known:
            by_release.setdefault(row["release"], []).append((row["request_id"], logged))
    every = [logged for requests in by_release.values() for _, logged in requests]
    read = [logged.features_at for logged in every]
    first = oldest([logged.timestamp for logged in every], read)
    with features_since(first, split, features) as reaching:
        log = _Log(split, reaching, catalogue, first_known(split), challenger, thresholds)
        return _skew(log, by_release, open_release, without_store)


def _skew(
    log: "_Log",
    by_release: Mapping[str, Sequence[tuple[str, Context]]],
    open_release: Callable[[str], Release],
    without_store: int,
) -> Skew:
    compared, differing = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
    examples: dict[str, str] = {}
    for identity, requests in by_release.items():
        for part, fair, differs, say in _parts(log, open_release(identity), requests):
            compared[part] += int(fair.sum())
            wrong = np.flatnonzero(fair & differs)
            differing[part] += len(wrong)
            if len(wrong):
                first = f"request {requests[wrong[0]][0]}, {part}: {say(int(wrong[0]))}"
                examples.setdefault(part, first)
    worst = max(examples, key=lambda part: differing[part] / compared[part], default="")
    return Skew(compared, differing, examples.get(worst, ""), without_store)


@dataclass(frozen=True)
class _Log:
    """The data that training reads.

    first_known: int64 [catalogue], µs, when each item became known.
    """

    split: Path
    features: Path
    catalogue: Catalogue
    first_known: Int64s
    challenger: Release
    thresholds: GateParams


_Part = tuple[str, Bools, Bools, Callable[[int], str]]


def _parts(log: _Log, release: Release, requests: Sequence[tuple[str, Context]]) -> Iterator[_Part]:
    """For each part: its name, which requests are comparable, which differ, and a description of
    one."""
    contexts = [logged for _, logged in requests]
    snapshots = Snapshots.read(log.features)
    at = np.array([logged.features_at for logged in contexts], dtype=np.int64)
    read = np.clip(at, snapshots.first, snapshots.last)
    offline = offline_requests(
        log.split,
        log.features,
        [logged.user_id for logged in contexts],
        [logged.timestamp for logged in contexts],
        read.tolist(),
    )
    none = np.zeros((1, len(log.catalogue), len(ITEM_FEATURES)), dtype=np.float32)
    served = context.requests_of(contexts, log.catalogue, none, np.zeros(1, dtype=np.int64))
    rules = Rules.read(log.split / "rules.json")
    length = min(rules.history_length, release.history_length)
    served, offline = (
        replace(each, histories=each.histories.last(length)) for each in (served, offline)
    )
    every = np.ones(len(contexts), dtype=np.bool_)
    batch = (read == at) & same_features(release.lineage, log.challenger.lineage)
    sent = np.array([logged.sent for logged in contexts])
    own = (sent == 0) & (release.min_rating == rules.min_rating)
    fair = {"user_features": batch, "impressed": batch, "history": own, "hidden": every}
    says: dict[str, Callable[[int], str]] = {
        "user_features": lambda i: _both(served.user_features[i], offline.user_features[i]),
        "impressed": lambda i: _both(served.impressed[i], offline.impressed[i]),
        "history": lambda i: (
            f"served {served.histories.lengths[i]} events, training {offline.histories.lengths[i]}"
        ),
        "hidden": lambda i: _both(served.hidden[i], offline.hidden[i]),
    }
    for part, differs in user_parts(served, offline).items():
        yield part, fair[part], differs, says[part]
    whole = release.history_length <= rules.history_length
    # The split does not keep the state of items before the windows.
    fit_end = Windows.read(log.split / "windows.json").fit_end
    lately = np.array([logged.timestamp >= fit_end for logged in contexts])
    yield _scores(log, release, contexts, offline, batch & own & whole & lately)


def _scores(
    log: _Log, release: Release, contexts: Sequence[Context], offline: Requests, fair: Bools
) -> _Part:
    """Compare the scores that the release gives to the requests as training knows them."""
    recommender = release.load(log.catalogue)
    excluded = Ragged.from_lists([log.catalogue.places(logged.exclude) for logged in contexts])
    asked = without_late_items(offline.excluding(excluded), log.first_known)
    differs = np.zeros(len(contexts), dtype=np.bool_)
    notes: dict[int, str] = {}
    for repeats in {logged.repeats for logged in contexts}:
        rows = np.flatnonzero([logged.repeats == repeats for logged in contexts])
        ranked = recommender.rank(asked.select(rows), repeats, threads=2)
        for row, items, scores in zip(rows.tolist(), ranked.candidates, ranked.scores, strict=True):
            usable = (items >= 0) & np.isfinite(scores)
            ids = log.catalogue.item_ids[items[usable]].tolist()
            again = dict(zip(ids, scores[usable].tolist(), strict=True))
            logged = dict(zip(contexts[row].candidates, contexts[row].scores, strict=True))
            notes[row] = _gap(logged, again, log.thresholds)
            differs[row] = bool(notes[row])
    return "scores", fair, differs, lambda i: notes[i]


def _gap(logged: Mapping[str, float], again: Mapping[str, float], thresholds: GateParams) -> str:
    """Describe how the logged candidates differ from those computed again; empty if within the
    thresholds."""
    every = sorted({*logged, *again})
    gaps = {item: abs(logged.get(item, np.inf) - again.get(item, -np.inf)) for item in every}
    wrong = [item for item in every if not gaps[item] <= thresholds.score_tolerance]
    if len(wrong) <= thresholds.max_stray_share * len(every):
        return ""
    worst = max(wrong, key=lambda item: gaps[item])
    served, training = (
        f"{scores[worst]:.4f}" if worst in scores else "no candidate" for scores in (logged, again)
    )
    return (
        f"{len(wrong)} of {len(every)} candidates, item {worst} served {served}, "
        f"training {training}"
    )


def _both(served: npt.NDArray[Any], offline: npt.NDArray[Any]) -> str:
    return f"served {served[:8].tolist()}, training {offline[:8].tolist()}"
