"""The world's laws as numbers: section `world` of `params.yaml`."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from base.params import Bool, Float, Int

Count = Annotated[Int, Field(ge=1)]


@dataclass(frozen=True)
class WorldParams:
    """Laws of the market; `seed` changes only the randomness, never a law.

    Attraction is in logits of the probability that an examined item is wanted, rates are per day,
    angles in radians per day.
    """

    seed: Int = 1
    """Everything random in the world follows from it."""

    control: Bool = False
    """No drift of any kind and no new items: nothing that a retrain could learn anew."""

    humans: Count = 1500
    """People; the same population lives through the history and the live days."""

    bot_share: Annotated[Float, Field(ge=0, lt=1)] = 0.02
    """Share of accounts that are bots."""

    history_days: Count = 10
    """Days of history before live day 0."""

    initial_items: Count = 800
    """Items on the first day of history."""

    new_items: Annotated[Int, Field(ge=0)] = 25
    """Items that appear every following morning."""

    latent_size: Int = 8
    """Dimensions of taste."""

    visible_share: Float = 0.25
    """Share of an item's taste vector (variance) that its topics, so its text, reveal."""

    styles: Int = 16
    """Hidden kinds of items: the part of an item's taste vector that only behaviour reveals."""

    style_spread: Float = 0.5
    """Distance of an item from its style, in units of the style vector's length."""

    strength: Float = 2.4
    """Standard deviation of the personal part of attraction, logits."""

    quality: Float = 0.5
    """Standard deviation of an item's quality, the same for everybody, logits."""

    base: Float = -2.4
    """Attraction of a fresh, average item for a person indifferent to it, logits."""

    half_life: Float = 4.0
    """Days in which the odds of an ageing item halve."""

    oldest: Float = 3.0
    """Most that age takes from attraction, logits."""

    evergreen_share: Float = 0.15
    """Share of items that do not age."""

    rotation: Float = 0.06
    """Angle by which each topic's direction in taste space turns: what goes together changes."""

    drift: Float = 0.08
    """Angle by which a person's taste turns towards a random direction."""

    trend: Float = 0.5
    """Amplitude of the waves in which topics come into fashion, logits."""

    examination: Float = 0.6
    """Position bias: position k (from 1) is examined with probability k to the minus this."""

    trust: Float = 0.04
    """Chance that an unwanted item examined at the top is clicked; falls as 1/k."""

    popularity_bias: Float = 0.35
    """Organic choices are proportional to popularity to the power of this."""

    popularity_half_life: Float = 2.0
    """Days in which an old event's part in popularity halves."""

    new_item_popularity: Float = 15.0
    """Popularity that the shop's new-arrivals shelf lends to an item on its first day."""

    sharpness: Float = 1.0
    """Organic choices are proportional to the odds of attraction to the power of this."""

    satiation: Float = 0.6
    """Logits that one item consumed takes from a wholly similar topic mix."""

    satiation_half_life: Float = 0.7
    """Days in which satiation halves."""

    sessions_per_day: Int = 350
    """Human sessions a day if every visit is of average quality."""

    return_gain: Float = 0.8
    """How strongly satisfaction with past sessions moves the chance to return, logits."""

    continuation: Float = 0.7
    """Chance of another round in the same session after a slate with clicks."""

    disappointment: Float = 0.2
    """How much a slate without a click takes from that chance."""

    rounds: Int = 6
    """Most rounds (a slate, then organic actions) of a session."""

    slate_size: Int = 10
    """Items in a slate."""

    searches: Float = 0.7
    """Chance of a search in a round."""

    search_views: Int = 2
    """Most items viewed from one search."""

    browse_views: Int = 4
    """Most items viewed by browsing in a round."""

    purchase: Float = 0.25
    """Chance to buy an item clicked or viewed, times its attraction."""

    hide: Float = 0.01
    """Chance to hide an item that was examined and not wanted."""

    late_share: Float = 0.05
    """Share of events that become known late."""

    late_hours: Float = 5.0
    """Mean delay of late events, hours (exponential)."""

    duplicate_share: Float = 0.03
    """Share of live events that are sent twice."""

    bot_sessions: Float = 0.2
    """Chance that a bot runs on a day."""

    bot_clicks: Float = 0.8
    """Chance that a bot clicks any item shown to it."""

    history_temperature: Float = 0.8
    """Of the bootstrap policy's scores (log popularity): smaller is greedier."""
