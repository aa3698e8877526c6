"""How much 1 % fake users who push one item raise its exposure.

    make bench-poison
    make bench-poison ARGS="--seeds 7 8 --forms few cover --set fit.max_epochs=2"

Releases are trained by the stages on the same log with and without fakes, with the defences and
without them. In each world four items are pushed at once, an unpopular, a middling, a popular and a
new one, each by fakes of its own who are 1 % of people. Forms of attack: `attacks`. Exposure is
that of the first slates of all people on the morning after. Everything is kept in RONDO_HOME, and
goes on where it was stopped. Results go to `reports/bench-poison.json`.
"""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from base.params import load
from base.settings import Settings
from benchmarks.gate.bank import Bank
from benchmarks.options import changes
from benchmarks.poison.attacks import FAKE, FORMS, attack
from benchmarks.poison.exposure import exposures
from benchmarks.poison.logs import ATTACK_DAYS, read_events, targets, write_log
from benchmarks.poison.summary import CLEAN, summary
from features.schema import DAY
from simulation.history import live_market
from simulation.market import START
from simulation.world_params import WorldParams

#: Fakes per person.
SHARE: Final = 0.01
#: By name of a defence: the parameters that differ.
DEFENCES: Final[dict[str, dict[str, Any]]] = {
    "detection": {},
    "none": {"people.set_aside": False, "people.per_item": 10**6, "people.per_day": 10**6},
}
#: File of what was measured of a release, in its folder.
MEASURED: Final = "exposure.json"


@dataclass(frozen=True)
class World:
    """A world of the benchmark. home: folder of its banks; changes: of section `world`; recipe:
    parameters of all releases that differ."""

    home: Path
    seed: int
    changes: dict[str, Any]
    recipe: dict[str, Any]

    def bank(self, form: str) -> Bank:
        """The bank of releases trained on the log with an attack, or on the clean one."""
        if form == CLEAN:
            return Bank.of(self.seed, self.home, **self.changes)
        clean = self.bank(CLEAN)
        return Bank(
            clean.root.with_name(f"{clean.root.name}-{form}"),
            self.seed,
            self.changes,
            clean.root / "logs" / form,
        )

    def folder(self, form: str, defence: str) -> Path:
        """Of a release."""
        return self.bank(form).root / "releases" / defence

    def train(self, form: str, defence: str) -> Path:
        """Folder of a release, which is trained unless it is there."""
        self.bank(form).build(defence, self.recipe | DEFENCES[defence])
        return self.folder(form, defence)

    def plan(self, forms: Sequence[str]) -> None:
        """Choose the items and write the logs with attacks, unless they are there."""
        data = self.train(CLEAN, "detection") / "data"
        world = load(WorldParams, "world", data.parent / "params.yaml")
        market = live_market(world)
        morning = world.history_days - 1
        end = START // DAY + morning
        bots = set(market.users.user_ids[market.users.bot])
        crowd = read_events(data / "world", bots, end - ATTACK_DAYS, end)
        pushed = targets(crowd, market.items, morning, self.seed)
        count = max(1, round(SHARE * world.humans))
        for form in forms:
            log = self.bank(form).log
            assert log is not None
            if not log.exists():
                fakes = attack(form, list(pushed.values()), crowd, count, self.seed)
                write_log(data / "world", fakes, log)
        items = {kind: target.item for kind, target in pushed.items()}
        self._pushed.write_text(json.dumps(items))

    @property
    def _pushed(self) -> Path:
        return self.bank(CLEAN).root / "pushed.json"

    def pushed(self) -> dict[str, str]:
        """The pushed item of each kind."""
        items: dict[str, str] = json.loads(self._pushed.read_text())
        return items

    def measure(self, form: str, defence: str) -> None:
        """Train a release and measure the exposure of all items, unless that is done."""
        folder = self.train(form, defence)
        if (folder / MEASURED).exists():
            return
        shown, reward = exposures(folder / "data", folder / "params.yaml")
        aside = pq.read_table(folder / "data" / "split" / "people.parquet")["user_id"].to_pylist()
        fakes = [user for user in aside if user.startswith(FAKE)]
        content = {"shown": shown, "reward": reward, "fakes": len(fakes), "aside": len(aside)}
        (folder / MEASURED).write_text(json.dumps(content))
        told = f"seed {self.seed}  {form:<8}{defence:<10}"
        print(
            f"{told}{len(fakes)} fakes and {len(aside) - len(fakes)} others set aside", flush=True
        )

    def measured(self, form: str, defence: str) -> dict[str, Any] | None:
        """What `measure` found, or None before it."""
        found = self.folder(form, defence) / MEASURED
        return json.loads(found.read_text()) if found.exists() else None


def measure(worlds: Sequence[World], forms: Sequence[str], processes: int) -> None:
    """Train and measure what is not there yet."""
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(lambda world: world.plan(forms), worlds))
        wanted = product(worlds, DEFENCES, (CLEAN, *forms))
        list(pool.map(lambda task: task[0].measure(task[2], task[1]), wanted))


def report(worlds: Sequence[World], forms: Sequence[str]) -> dict[str, Any]:
    """Everything that has been measured."""
    played = {
        (place, form, defence): found
        for place, world in enumerate(worlds)
        for form in (CLEAN, *forms)
        for defence in DEFENCES
        if (found := world.measured(form, defence)) is not None
    }
    pushed = [world.pushed() for world in worlds]
    head = {"seeds": [world.seed for world in worlds], "share": SHARE}
    return head | summary(played, pushed, forms, list(DEFENCES))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the worlds")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], help="name=value of all releases")
    parser.add_argument("--report", action="store_true", help="only report what has been measured")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    home = Settings().root / "poison-bank"
    recipe = changes(arguments.set)
    worlds = [World(home, seed, {}, recipe) for seed in arguments.seeds]
    if not arguments.report:
        measure(worlds, arguments.forms, arguments.processes)
    found = report(worlds, arguments.forms)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "bench-poison.json").write_text(json.dumps(found, indent=2) + "\n")
    print(f"exposure x {found['poisoning_exposure_ratio']:.2f} by form {found['worst_form']}")


if __name__ == "__main__":
    main()
