"""Format the reasons why rows or events were set aside, for a terminal."""

from collections.abc import Iterator, Mapping

LONGEST = 120


def lines(counts: Mapping[str, int], limit: int = 10) -> Iterator[str]:
    """One line per reason, the most frequent first, and one line for those beyond `limit`."""
    ordered = sorted(counts.items(), key=lambda told: (-told[1], told[0]))
    for reason, count in ordered[:limit]:
        yield f"  {count} × {_plain(reason)}"
    if rest := ordered[limit:]:
        yield f"  {sum(count for _, count in rest)} × {len(rest)} more reasons"


def _plain(reason: str) -> str:
    """One line without control characters, because a reason may quote a client's data."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in reason)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
