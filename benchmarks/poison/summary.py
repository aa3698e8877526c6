"""From exposures of releases to ratios, with intervals over the pushed items of all worlds."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy import stats

from base.arrays import Float64s

#: One release: the place of its world, the form of attack, the defence.
Key = tuple[int, str, str]
SHOWN, TOP = 0, 1
CLEAN: Final = "clean"


def summary(
    played: Mapping[Key, Mapping[str, Any]],
    pushed: Sequence[Mapping[str, str]],
    forms: Sequence[str],
    defences: Sequence[str],
) -> dict[str, Any]:
    """Ratios of exposure with fakes to that without, by form and defence.

    played: by release, `shown` (item: share of looks, share of ten best), `fakes` (number of those
    set aside) and `reward`; pushed: by world, the pushed item of each kind. The first defence
    counts. Its worst form of attack gives `poisoning_exposure_ratio`. What was not played is left
    out.
    """
    found = {
        form: {
            defence: _form(played, pushed, worlds, form, defence)
            for defence in defences
            if (worlds := _worlds(played, form, defence))
        }
        for form in forms
    }
    known = [form for form in forms if defences[0] in found[form]]
    worst = max(known, key=lambda form: float(found[form][defences[0]]["ratio"]))
    return {
        "poisoning_exposure_ratio": found[worst][defences[0]]["ratio"],
        "interval": found[worst][defences[0]]["interval"],
        "worst_form": worst,
        "forms": found,
        "rewards": {
            defence: [played[place, CLEAN, defence]["reward"] for place in worlds]
            for defence in defences
            if (worlds := _worlds(played, CLEAN, defence))
        },
    }


def _worlds(played: Mapping[Key, Mapping[str, Any]], form: str, defence: str) -> list[int]:
    """Places of the worlds of which this release and the one without fakes were played."""
    return sorted(
        place
        for place, other, by in played
        if (other, by) == (form, defence) and (place, CLEAN, by) in played
    )


def _form(
    played: Mapping[Key, Mapping[str, Any]],
    pushed: Sequence[Mapping[str, str]],
    worlds: Sequence[int],
    form: str,
    defence: str,
) -> dict[str, Any]:
    kinds: dict[str, list[float]] = {}
    tops: dict[str, list[list[float]]] = {}
    others: list[float] = []
    fakes: list[int] = []
    for place in worlds:
        items = pushed[place]
        with_fakes = played[place, form, defence]
        before, after = played[place, CLEAN, defence]["shown"], with_fakes["shown"]
        fakes.append(with_fakes["fakes"])
        for kind, item in items.items():
            kinds.setdefault(kind, []).append(after[item][SHOWN] / before[item][SHOWN])
            tops.setdefault(kind, []).append([before[item][TOP], after[item][TOP]])
        rest = sorted(set(before) - set(items.values()))
        others += [after[item][SHOWN] / before[item][SHOWN] for item in rest]
    ratios = np.array([ratio for found in kinds.values() for ratio in found])
    return {
        **_mean(ratios),
        "largest": float(ratios.max()),
        "set_aside": fakes,
        "kinds": {kind: _mean(np.array(found)) | {"each": found} for kind, found in kinds.items()},
        "top_ten": tops,
        # Of items that nobody pushes: what training anew on another log changes by itself.
        "others": {"ratio": float(np.exp(np.log(others).mean())),
                   "deviation": float(np.exp(np.log(others).std()))},
    }  # fmt: skip


def _mean(ratios: Float64s) -> dict[str, Any]:
    """Geometric mean, and its 95 % interval by Student's t on logarithms."""
    logs = np.log(ratios)
    if len(logs) < 2:
        return {"ratio": float(ratios.mean()), "interval": None}
    half = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    middle = float(logs.mean())
    return {
        "ratio": float(np.exp(middle)),
        "interval": np.exp([middle - half, middle + half]).tolist(),
    }
