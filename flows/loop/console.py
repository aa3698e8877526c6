"""Terminal output: one line per step, a progress bar while it runs, and its seconds."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console as Rich
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

#: A function called with (done, total).
Advance = Callable[[int, int], None]


@dataclass
class Step:
    """A running step. Set `text` to the content of its line; `advance` moves the progress bar."""

    advance: Advance
    text: str = ""
    seconds: float = 0.0


class Console:
    """Writes to the terminal that was standard output when it was created.

    Keeps a duplicate of standard output, because `flows.stages` redirects the output of stages.
    """

    def __init__(self) -> None:
        self._rich = Rich(file=os.fdopen(os.dup(1), "w"), highlight=False, soft_wrap=True)
        self.steps: dict[str, float] = {}
        self.began = time.monotonic()

    def line(self, text: str, indent: int = 0) -> None:
        """Print one line. It appears at once, even in a pipe."""
        self._rich.print(" " * (13 + indent) + text if indent else text, markup=False)
        self._rich.file.flush()

    @contextmanager
    def step(self, name: str, label: str) -> Iterator[Step]:
        """Run a step: add its seconds to `steps[name]`, and print its line when it ends."""
        started = time.monotonic()
        with Progress(
            SpinnerColumn(),
            TextColumn(label),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            console=self._rich,
            transient=True,
            disable=not self._rich.is_terminal,
        ) as progress:
            task = progress.add_task(label, total=None)

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            step = Step(advance)
            yield step
        step.seconds = time.monotonic() - started
        self.steps[name] = self.steps.get(name, 0.0) + step.seconds
        self.line(f"{self.elapsed():>6} {step.seconds:5.1f}s {label:<12} {step.text}")

    def elapsed(self) -> str:
        """Minutes and seconds since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes}:{seconds:02d}"
