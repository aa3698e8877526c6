"""Items: the properties shown in the catalogue, and those revealed only by behaviour."""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from base.arrays import Bools, Float64s, Int64s, Objects
from features.schema import DAY, ITEM, TIMESTAMP
from simulation.behaviour import ageing, turned
from simulation.item_words import ADJECTIVES, FILLER, TOPICS
from simulation.randomness import Stream, generator
from simulation.world_params import WorldParams

TOPIC_NAMES = tuple(TOPICS)


@dataclass(frozen=True)
class Items:
    """Items in order of appearance.

    item_ids, titles, descriptions, categories (tuples of str): object [n]; price: float64 [n];
    created_at: int64 [n], µs; first_day: float64 [n], day of creation (negative before history);
    topics: float64 [n, topics], shares that sum to 1; hidden: float64 [n, latent_size], unit
    vectors, the part of the taste vector that the text does not show; quality: float64 [n], logits;
    evergreen: bool [n].
    """

    item_ids: Objects
    titles: Objects
    descriptions: Objects
    categories: Objects
    price: Float64s
    created_at: Int64s
    first_day: Float64s
    topics: Float64s
    hidden: Float64s
    quality: Float64s
    evergreen: Bools

    def __len__(self) -> int:
        return len(self.item_ids)

    def __add__(self, later: "Items") -> "Items":
        return Items(
            **{
                field.name: np.concatenate([self.__dict__[field.name], later.__dict__[field.name]])
                for field in fields(self)
            }
        )

    def since(self, first: int) -> "Items":
        """The items from index `first` on."""
        return Items(**{field.name: self.__dict__[field.name][first:] for field in fields(self)})


def arrivals(params: WorldParams, start: int, day: int, first: int) -> Items:
    """The items that appear on the morning of `day`, numbered from `first`.

    start: µs of day 0. Day 0 has the initial items, created during the 60 days before.
    """
    later = 0 if params.control else params.new_items
    count = params.initial_items if day == 0 else later
    random = generator(params.seed, Stream.ITEMS, day)
    topics = _topic_shares(random, count)
    style = random.integers(params.styles, size=count)
    around = random.normal(size=(count, params.latent_size)) / np.sqrt(params.latent_size)
    hidden = _styles(params)[style] + params.style_spread * around
    first_day = -random.integers(0, 60, size=count) if day == 0 else np.full(count, day)
    text = [_text(random, shares) for shares in topics]
    return Items(
        item_ids=np.array([f"i{first + i:05d}" for i in range(count)], dtype=object),
        titles=np.array([title for title, _ in text], dtype=object),
        descriptions=np.array([description for _, description in text], dtype=object),
        categories=_objects([_categories(shares) for shares in topics]),
        price=np.exp(random.normal(3.0, 0.7, size=count)).round(2),
        created_at=start + first_day.astype(np.int64) * DAY,
        first_day=first_day.astype(np.float64),
        topics=topics,
        hidden=_unit(hidden),
        quality=random.normal(0.0, params.quality, size=count),
        evergreen=random.random(count) < params.evergreen_share,
    )


def topic_directions(params: WorldParams, day: int) -> Float64s:
    """The direction of each topic in taste space on `day`, which turns in a plane of its own.

    float64 [topics, latent_size], unit rows: cos(ωt)·a + sin(ωt)·b with a at right angles to b.
    """
    random = generator(params.seed, Stream.LATENT, 0)
    size = (len(TOPIC_NAMES), params.latent_size)
    origin, towards = _unit(random.normal(size=size)), random.normal(size=size)
    return turned(origin, towards, 0.0 if params.control else params.rotation * day)


def trends(params: WorldParams, day: int) -> Float64s:
    """Fashion of each topic on `day`: amplitude · sin(2π (day / period + phase)). [topics]"""
    random = generator(params.seed, Stream.LATENT, 1)
    period = random.uniform(6.0, 14.0, size=len(TOPIC_NAMES))
    phase = random.random(len(TOPIC_NAMES))
    time = 0 if params.control else day
    result: Float64s = params.trend * np.sin(2 * np.pi * (time / period + phase))
    return result


def taste_vectors(params: WorldParams, items: Items, day: int) -> Float64s:
    """v = √visible · topics' direction + √(1 − visible) · hidden. float64 [n, latent_size]."""
    visible = _unit(items.topics @ topic_directions(params, day))
    share = params.visible_share
    vectors: Float64s = share**0.5 * visible + (1.0 - share) ** 0.5 * items.hidden
    return vectors


def common_appeal(params: WorldParams, items: Items, day: int) -> Float64s:
    """The part of an item's logits that is equal for all users: base + quality + fashion −
    ageing. float64 [n]."""
    age = (0.0 if params.control else float(day)) - items.first_day
    old = np.where(items.evergreen, 0.0, ageing(age, params.half_life, params.oldest))
    return params.base + items.quality + items.topics @ trends(params, day) - old


def table(items: Items, known_at: Int64s) -> pa.Table:
    """Rows of `schema.ITEM`; known_at: int64 [n], µs."""
    count = len(items)
    columns = {
        "item_id": pa.array(items.item_ids, pa.string()),
        "title": pa.array(items.titles, pa.string()),
        "description": pa.array(items.descriptions, pa.string()),
        "categories": pa.array([list(c) for c in items.categories], pa.list_(pa.string())),
        "price": pa.array(items.price, pa.float64()),
        "available": pa.array(np.ones(count, dtype=bool)),
        "created_at": pa.array(items.created_at, pa.int64()).cast(TIMESTAMP),
        "received_at": pa.array(known_at, pa.int64()).cast(TIMESTAMP),
    }
    nothing = pa.nulls(count, pa.string())
    return pa.table({name: columns.get(name, nothing) for name in ITEM.names}, schema=ITEM)


def _styles(params: WorldParams) -> Float64s:
    random = generator(params.seed, Stream.LATENT, 2)
    return _unit(random.normal(size=(params.styles, params.latent_size)))


def _topic_shares(random: np.random.Generator, count: int) -> Float64s:
    """One main topic with a share of 0.6 to 1, and a second topic with the rest."""
    main = random.integers(len(TOPIC_NAMES), size=count)
    other = (main + random.integers(1, len(TOPIC_NAMES), size=count)) % len(TOPIC_NAMES)
    share = random.uniform(0.6, 1.0, size=count)
    shares = np.zeros((count, len(TOPIC_NAMES)))
    shares[np.arange(count), main] = share
    shares[np.arange(count), other] = 1.0 - share
    return shares


def _text(random: np.random.Generator, shares: Float64s) -> tuple[str, str]:
    def topical(count: int) -> list[str]:
        drawn = random.choice(len(TOPIC_NAMES), size=count, p=shares)
        return [str(random.choice(TOPICS[TOPIC_NAMES[topic]])) for topic in drawn]

    title = [str(random.choice(ADJECTIVES)), *topical(2)]
    description = [*topical(8), *(str(word) for word in random.choice(FILLER, size=4))]
    return " ".join(title).capitalize(), " ".join(description).capitalize() + "."


def _categories(shares: Float64s) -> tuple[str, ...]:
    order = np.argsort(-shares, kind="stable")
    kept = [order[0], *(topic for topic in order[1:2] if shares[topic] >= 0.25)]
    return tuple(TOPIC_NAMES[topic] for topic in kept)


def _objects(values: list[tuple[str, ...]]) -> Objects:
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def _unit(rows: Float64s) -> Float64s:
    result: Float64s = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return result
