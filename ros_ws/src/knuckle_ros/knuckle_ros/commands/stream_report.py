"""What ``knuckle stream`` shows while it runs, prints at its end, and writes as figures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from knuckle.core.figures import Figures

_NUMBERS = ("samples", "dropped", "invalid", "late_sent")
_MEASURES = ("rate_hz", "published_hz", "latency_p50_ms", "latency_p99_ms", "latency_max_ms")


@contextlib.contextmanager
def progress(samples: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar on stderr that the ``progress`` events of the player move."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("finding each other on the bus", total=samples)

        def tell(event: dict[str, Any]) -> None:
            latency = event["latency_p50_ms"]
            late = "" if latency is None else f"  {latency:.2f} ms"
            text = f"{event['rate_hz']:6.1f} Hz{late}  {event['sent'] - event['received']} under way"
            bar.update(task, completed=event["sent"], description=text)

        yield tell


def show(name: str, result: dict[str, Any]) -> None:
    """Print the result as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value", title=name, title_justify="left")
    live = "rate_hz" in result
    table.add_row("samples, dropped, invalid", f"{result['samples']}, {result['dropped']}, {result['invalid']}")
    if live and result["latency_p50_ms"] is not None:
        table.add_row("rate kept", f"{result['rate_hz']:.2f} Hz ({result['late_sent']} samples sent late)")
        table.add_row("latency p50, p99", f"{result['latency_p50_ms']:.2f} ms, {result['latency_p99_ms']:.2f} ms")
    errors = result["errors"]
    if errors is None:
        table.add_row("RMSE", "no movement sample with a truth in this part of the recording")
    else:
        parts = " / ".join(f"{errors[key]:.4f}" for key in ("total_deg", "heading_deg", "inclination_deg"))
        table.add_row("RMSE total / heading / inclination", f"{parts} deg")
        table.add_row("scored (movement) samples", str(errors["n"]))
    table.add_row("estimates", result["digest"])
    Console().print(table)


def figures(command: list[str], config: dict[str, Any], result: dict[str, Any]) -> Figures:
    """The figures of ``--json``; what was not measured is left out.

    ``n`` is the number of scored samples. ``estimates_digest`` is a number that is the same where every estimate is
    the same to the last bit.
    """
    values = {key: float(result[key]) for key in (*_NUMBERS, *_MEASURES) if result.get(key) is not None}
    values["estimates_digest"] = float(int(result["digest"], 16))
    errors = result["errors"]
    if errors is not None:
        values |= {f"rmse_{key}": errors[key] for key in ("total_deg", "heading_deg", "inclination_deg")}
    return Figures(command=command, config=config, seed=0, n=0 if errors is None else int(errors["n"]), figures=values)
