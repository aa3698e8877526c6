"""The parameters of the world's laws: section `world` of `params.yaml`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from base.params import Bool, Float, Int

Count = Annotated[Int, Field(ge=1)]


@dataclass(frozen=True)
class WorldParams:
    """Parameters of the market. `seed` changes only the random draws.

    Attraction is in logits of the probability that an examined item is wanted. Rates are per day,
    angles in radians per day.
    """

    seed: Int = 1
    """Seed of everything random in the world."""

    control: Bool = False
    """No drift of any kind and no new items, so that a retrain has nothing new to learn."""

    humans: Count = 1500
    """Number of people. The same people live through the history and the live days."""

    bot_share: Annotated[Float, Field(ge=0, lt=1)] = 0.02
    """Share of accounts that are bots."""

    history_days: Count = 10
    """Days of history before live day 0."""

    initial_items: Count = 800
    """Number of items on the first day of history."""

    new_items: Annotated[Int, Field(ge=0)] = 25
    """Number of items that appear every following morning."""

    latent_size: Int = 8
    """Dimensions of taste."""

    visible_share: Float = 0.25
    """Share of the variance of an item's taste vector that its topics, and so its text, reveal."""

    styles: Int = 16
    """Number of hidden kinds of items, the part of a taste vector that only behaviour reveals."""

    style_spread: Float = 0.5
    """Distance of an item from its style, in units of the style vector's length."""

    strength: Float = 2.4
    """Standard deviation of the personal part of attraction, logits."""

    quality: Float = 0.5
    """Standard deviation of an item's quality, the same for everybody, logits."""

    base: Float = -2.4
    """Attraction of a fresh, average item for a person without a preference, logits."""

    half_life: Float = 4.0
    """Days in which the odds of an ageing item halve."""

    oldest: Float = 3.0
    """Largest loss of attraction by age, logits."""

    evergreen_share: Float = 0.15
    """Share of items that do not age."""

    rotation: Float = 0.06
    """Angle by which each topic's direction in taste space turns, so that related topics change."""

    drift: Float = 0.08
    """Angle by which a person's taste turns in a random direction."""

    trend: Float = 0.5
    """Amplitude of the waves by which topics come into fashion, logits."""

    examination: Float = 0.6
    """Exponent of the position bias: position k (from 1) is examined with probability
    k^-examination."""

    trust: Float = 0.04
    """Probability that an unwanted item examined at the top is clicked. Falls as 1/k."""

    popularity_bias: Float = 0.35
    """Organic choices are proportional to popularity to this power."""

    popularity_half_life: Float = 2.0
    """Days after which an event counts half towards popularity."""

    new_item_popularity: Float = 15.0
    """Popularity that an item has on its first day, from the shop's shelf of new arrivals."""

    sharpness: Float = 1.0
    """Organic choices are proportional to the odds of attraction to this power."""

    satiation: Float = 0.6
    """Logits by which one consumed item lowers an item with the same mix of topics."""

    satiation_half_life: Float = 0.7
    """Days in which satiation halves."""

    sessions_per_day: Int = 350
    """Sessions of people per day if every visit has average quality."""

    return_gain: Float = 0.8
    """How strongly satisfaction with past sessions changes the probability to return, logits."""

    continuation: Float = 0.7
    """Probability of another round in the same session after a slate with clicks."""

    disappointment: Float = 0.2
    """How much a slate without a click lowers that probability."""

    rounds: Int = 6
    """Largest number of rounds (a slate, then organic actions) in a session."""

    slate_size: Int = 10
    """Items in a slate."""

    searches: Float = 0.7
    """Probability of a search in a round."""

    search_views: Int = 2
    """Largest number of items viewed after one search."""

    browse_views: Int = 4
    """Largest number of items viewed by browsing in a round."""

    purchase: Float = 0.25
    """Probability to buy an item that was clicked or viewed, multiplied by its attraction."""

    hide: Float = 0.01
    """Probability to hide an item that was examined and not wanted."""

    late_share: Float = 0.05
    """Share of events that become known late."""

    late_hours: Float = 5.0
    """Mean delay of late events in hours (exponential distribution)."""

    duplicate_share: Float = 0.03
    """Share of live events that are sent twice."""

    bot_sessions: Float = 0.2
    """Probability that a bot is active on a day."""

    bot_clicks: Float = 0.8
    """Probability that a bot clicks an item shown to it."""

    bot_haste: Annotated[Float, Field(gt=0)] = 0.05
    """Time between a bot's actions, relative to a person's."""

    history_temperature: Float = 0.8
    """Temperature of the bootstrap policy's scores (log popularity). Smaller is greedier."""
