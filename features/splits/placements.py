"""Rules per placement, the same in training, judging and serving."""

from dataclasses import dataclass

from base.params import Bool


@dataclass(frozen=True)
class Placement:
    """One place where slates are shown."""

    repeats: Bool = False
    """May an item of the user's history be shown again? What lies further back than
    `split.history_length` events may in any case."""


@dataclass(frozen=True)
class PlacementsParams:
    """Section `placements` of params.yaml."""

    home: Placement = Placement()
    """The landing page: the placement of training and judging queries."""

    item: Placement = Placement()
    """Beside an item."""

    cart: Placement = Placement(repeats=True)
    """Beside the cart."""

    search: Placement = Placement(repeats=True)
    """Answers to a query."""

    feed: Placement = Placement()
    """An endless list."""

    def rule(self, name: str) -> Placement:
        """The rule of placement `name`; that of `home` where there is none."""
        return {
            "home": self.home,
            "item": self.item,
            "cart": self.cart,
            "search": self.search,
            "feed": self.feed,
        }.get(name, self.home)
