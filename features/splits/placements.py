"""Rules per placement. They are the same in training, judging and serving."""

from dataclasses import dataclass

from base.params import Bool


@dataclass(frozen=True)
class Placement:
    """A place where slates are shown."""

    repeats: Bool = False
    """Whether an item of the user's history may be shown again.

    Items further back than `split.history_length` events may always be shown again.
    """


@dataclass(frozen=True)
class PlacementsParams:
    """Section `placements` of params.yaml."""

    home: Placement = Placement()
    """The landing page. Training and judging queries use this placement."""

    item: Placement = Placement()
    """Beside an item."""

    cart: Placement = Placement(repeats=True)
    """Beside the cart."""

    search: Placement = Placement(repeats=True)
    """Results of a search."""

    feed: Placement = Placement()
    """An endless list."""

    def rule(self, name: str) -> Placement:
        """The rule of placement `name`, or of `home` if there is no such placement."""
        return {
            "home": self.home,
            "item": self.item,
            "cart": self.cart,
            "search": self.search,
            "feed": self.feed,
        }.get(name, self.home)
