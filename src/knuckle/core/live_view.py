"""A picture that is renewed in place in a terminal, as a context; elsewhere nothing is shown through it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live


class LiveView:
    """What a view of long work begins with: ``with`` starts and ends the picture; `live` is False off a terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def live(self) -> bool:
        """Whether there is a terminal to draw in."""
        return self._live is not None

    def draw(self, picture: RenderableType) -> None:
        """Put ``picture`` in the place of the last one; does nothing off a terminal."""
        if self._live is not None:
            self._live.update(picture)
