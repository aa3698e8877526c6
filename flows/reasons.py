"""Why rows or events were set aside, as lines for a terminal."""

from collections.abc import Iterator, Mapping

LONGEST = 120


def lines(counts: Mapping[str, int], limit: int = 10) -> Iterator[str]:
    """A line for each reason, the most frequent first; what is beyond `limit` in one line."""
    ordered = sorted(counts.items(), key=lambda told: (-told[1], told[0]))
    for reason, count in ordered[:limit]:
        yield f"  {count} × {_plain(reason)}"
    if rest := ordered[limit:]:
        yield f"  {sum(count for _, count in rest)} × {len(rest)} more reasons"


def _plain(reason: str) -> str:
    """One line without control characters: a reason may quote what somebody sent."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in reason)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
