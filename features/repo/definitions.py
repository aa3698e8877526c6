"""Feast definitions: entities, views, the push source of live history, and one service per model.

SERVICES says which features of each view a model gets. Training joins and the online store read
only those, so a feature is added to a model here and nowhere else.

`feast apply` in this folder registers these objects over `data/features` of this checkout, or over
the folder in `RONDO_FEATURES`. The code registers `definitions(folder)` over any folder.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from features.feast_api import (
    Array,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    Float64,
    Int64,
    PushSource,
    String,
    ValueType,
)
from features.schema import ITEM_FEATURES, USER_FEATURES

_FLOATS = ("user_mean_price_30d", "item_ctr_7d")
_HISTORY = [
    Field(name="items", dtype=Array(String)),
    Field(name="event_types", dtype=Array(Int64)),
    Field(name="timestamps", dtype=Array(Int64)),
    Field(name="hidden", dtype=Array(String)),
]

#: For each model, the features that its FeatureService serves, by view.
SERVICES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "transformer": {
        view: tuple(field.name for field in _HISTORY) for view in ("user_history", "live_history")
    },
    "trees": {
        "user_activity": (*USER_FEATURES, "impressed_items", "impressed_counts"),
        "item_activity": ITEM_FEATURES,
    },
}

#: Values do not expire, since the clock of a simulation is not the machine's clock.
_FOREVER = timedelta(0)


@dataclass(frozen=True)
class Definitions:
    """All objects to register, for one folder of Parquet files."""

    user: Entity
    item: Entity
    user_activity: FeatureView
    item_activity: FeatureView
    user_history: FeatureView
    live_history: FeatureView
    transformer: FeatureService
    trees: FeatureService

    @property
    def objects(self) -> list[Any]:
        return [
            self.user,
            self.item,
            self.user_activity,
            self.item_activity,
            self.user_history,
            self.live_history,
            self.transformer,
            self.trees,
        ]


def definitions(folder: Path) -> Definitions:
    """The definitions over the Parquet files of `data/features` at `folder` (made absolute)."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
    user_activity = FeatureView(
        name="user_activity",
        entities=[user],
        ttl=_FOREVER,
        schema=[
            *_numbers(USER_FEATURES),
            Field(name="impressed_items", dtype=Array(String)),
            Field(name="impressed_counts", dtype=Array(Int64)),
        ],
        source=_file(folder, "user_activity"),
    )
    item_activity = FeatureView(
        name="item_activity",
        entities=[item],
        ttl=_FOREVER,
        schema=_numbers(ITEM_FEATURES),
        source=_file(folder, "item_activity"),
    )
    history = _file(folder, "user_history")
    user_history = FeatureView(
        name="user_history",
        entities=[user],
        ttl=_FOREVER,
        schema=_HISTORY,
        source=history,
    )
    live_history = FeatureView(
        name="live_history",
        entities=[user],
        ttl=_FOREVER,
        schema=_HISTORY,
        source=PushSource(name="live_events", batch_source=history),
    )
    views = {v.name: v for v in (user_activity, item_activity, user_history, live_history)}
    services = {
        model: FeatureService(
            name=model, features=[views[view][list(names)] for view, names in read.items()]
        )
        for model, read in SERVICES.items()
    }
    return Definitions(
        user=user,
        item=item,
        user_activity=user_activity,
        item_activity=item_activity,
        user_history=user_history,
        live_history=live_history,
        transformer=services["transformer"],
        trees=services["trees"],
    )


def served(services: Iterable[FeatureService]) -> dict[str, tuple[str, ...]]:
    """The names of the features that `services` give, by view."""
    return {
        projection.name: tuple(feature.name for feature in projection.features)
        for service in services
        for projection in service.feature_view_projections
    }


def _numbers(names: tuple[str, ...]) -> list[Field]:
    return [Field(name=name, dtype=Float64 if name in _FLOATS else Int64) for name in names]


def _file(folder: Path, name: str) -> FileSource:
    return FileSource(
        name=name,
        path=str(folder.absolute() / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )


_CHECKOUT = Path(__file__).resolve().parents[2]
_registered = definitions(Path(os.environ.get("RONDO_FEATURES", _CHECKOUT / "data/features")))

user = _registered.user
item = _registered.item
user_activity = _registered.user_activity
item_activity = _registered.item_activity
user_history = _registered.user_history
live_history = _registered.live_history
transformer = _registered.transformer
trees = _registered.trees
