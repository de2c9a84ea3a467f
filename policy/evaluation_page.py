"""The report of an evaluation: one HTML file that holds everything it shows and loads nothing."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import write_text
from knuckle.policy.evaluation_plots import (
    REACHED,
    Results,
    Share,
    endings,
    share_bars,
    start_to_final,
    starting_angles,
    success_curve,
    success_over_time,
)
from knuckle.policy.page_style import STYLE
from knuckle.policy.reorient_score import THRESHOLDS, TIME_LIMIT_S, EpisodeScore
from knuckle.policy.video_sheet import Film, VideoSheet
from knuckle.sim.objects import FAMILIES, NOVEL

Figures = Mapping[str, Mapping[str, float]]
"""Controller to its figures by name, as `figures_of` gives them."""
Intervals = Mapping[str, Mapping[str, tuple[float, float]]]
"""Controller to the 95% intervals of some of its figures."""

ROWS = (
    *((f"success_{t:g}".replace(".", "p"), f"within {t:g} rad and still", "{:.0%}") for t in THRESHOLDS),
    ("drop_rate", "dropped", "{:.0%}"),
    ("median_time_s", "median time to success within 0.4 rad", "{:.1f} s"),
    ("median_time_all_s", f"the same, failures as {TIME_LIMIT_S:g} s", "{:.1f} s"),
    ("cpu_s_per_episode", "processor time an episode", "{:.1f} s"),
    ("real_time_factor", "real-time factor", "{:.2f}"),
)
OTHER = "other"
FEW = 10


def write_page(
    path: Path,
    title: str,
    protocol: Mapping[str, str],
    results: Results,
    figures: Figures,
    intervals: Intervals,
    film: VideoSheet | None = None,
) -> None:
    """Write the report of ``results`` (the judged controller first, baselines after it) to ``path``, whole or not at
    all.

    ``protocol`` is what was judged and how, name to value; where its ``rung`` is ``so3`` the starting angles are
    compared with uniform ones. InputError where there is no episode, RunError where the file cannot be written.
    """
    text = page(title, protocol, results, figures, intervals, film)
    try:
        write_text(path, text)
    except OSError as error:
        what = f"the report cannot be written ({error.strerror})"
        raise RunError(what, where=str(path), right="a file in a folder of yours") from error


def page(
    title: str,
    protocol: Mapping[str, str],
    results: Results,
    figures: Figures,
    intervals: Intervals,
    film: VideoSheet | None = None,
) -> str:
    """The report as HTML; see `write_page`."""
    if not results or not all(results.values()):
        raise InputError("no episode to report", where="report", right="at least one episode of each controller")
    name, scores = next(iter(results.items()))
    uniform = protocol.get("rung") == "so3"
    parts = [
        f"<header><h1>{escape(title)}</h1>{_protocol(protocol)}</header>",
        f"<section>{_table(figures, intervals, results)}</section>",
        '<section class="pair">',
        _figure(1, success_curve(results), CURVE_CAPTION),
        _figure(2, success_over_time(results), TIME_CAPTION),
        _figure(3, starting_angles(scores, uniform=uniform), "Angle between start and goal, all episodes."),
        _figure(4, endings(scores), f"When and how the episodes of {name} ended."),
        *_shares(scores, name),
        "</section>",
        _films(film, name) if film is not None else "",
        _episodes(scores, name),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    head = f"<head>{head}<style>{STYLE}</style></head>"
    return f'<!doctype html>\n<html lang="en">\n{head}\n<body>\n{body}\n</body>\n</html>\n'


CURVE_CAPTION = (
    "Share of episodes that ended still, not dropped, and within an angle of the goal. The band is the pointwise 95% "
    "Wilson interval; dotted verticals mark 0.1, 0.2, 0.4 and 0.8 rad."
)
TIME_CAPTION = "Share of episodes that had succeeded within 0.4 rad by a time. Band as in figure 1."


def family_shares(scores: Sequence[EpisodeScore]) -> list[tuple[Share, list[Share]]]:
    """Success of each family that was played, and of its objects; objects of no family are ``other``."""
    played = {s.object_name for s in scores}
    groups = {family: [name for name in members if name in played] for family, members in FAMILIES.items()}
    groups[OTHER] = sorted(played.difference(*FAMILIES.values()))
    return [
        (_share(_named(family, members), scores, members), [_share(name, scores, [name]) for name in members])
        for family, members in groups.items()
        if members
    ]


def _shares(scores: list[EpisodeScore], name: str) -> list[str]:
    """Figures 5 to 7 in two columns of about one height, however many objects there are."""
    families = family_shares(scores)
    objects = [share for _, members in families for share in members]
    by_object = _figure(5, share_bars(objects, "success by object"), f"Success of {name} by object.")
    by_family = _figure(6, share_bars([family for family, _ in families], "success by family"), _family_caption(name))
    caption = f"What {name} made of each start; below the dotted line it came nearer."
    course = _figure(7, start_to_final(scores), caption)
    few = len(objects) <= FEW
    left, right = ([by_object, by_family], [course]) if few else ([by_object], [by_family, course])
    return ["<div>", *left, "</div>", "<div>", *right, "</div>"]


def _named(family: str, members: Sequence[str]) -> str:
    return f"{family} (novel)" if set(members) <= set(NOVEL) else family


def _share(label: str, scores: Sequence[EpisodeScore], names: Sequence[str]) -> Share:
    own = [s for s in scores if s.object_name in names]
    return Share(label, sum(s.succeeded(REACHED) for s in own), len(own), sum(s.dropped for s in own))


def _family_caption(name: str) -> str:
    return f"Success of {name} by family of objects; nothing was trained or tuned on families marked novel."


def _protocol(protocol: Mapping[str, str]) -> str:
    pairs = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in protocol.items())
    return f"<dl>{pairs}</dl>"


def _table(figures: Figures, intervals: Intervals, results: Results) -> str:
    head = "".join(f'<th scope="col">{escape(name)}<small></small></th>' for name in results)
    rows = []
    for key, label, pattern in ROWS:
        if not any(key in figures.get(name, {}) for name in results):
            continue
        cells = [_cell(figures.get(name, {}).get(key), intervals.get(name, {}).get(key), pattern) for name in results]
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(cells)}</tr>')
    counts = "".join(f"<td>{len(scores)}<small></small></td>" for scores in results.values())
    rows.append(f'<tr><th scope="row">episodes</th>{counts}</tr>')
    note = "Rates with their 95% Wilson intervals. All controllers were given the same starts and goals."
    return (
        f"<table><caption>{note}</caption><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(value: float | None, interval: tuple[float, float] | None, pattern: str) -> str:
    if value is None or not math.isfinite(value):
        return "<td>–<small></small></td>"
    spread = f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f}" if interval is not None else ""
    return f"<td>{escape(pattern.format(value))}<small>{spread}</small></td>"


def _figure(number: int, svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption><b>Figure {number}.</b> {escape(caption)}</figcaption></figure>"


def _films(sheet: VideoSheet, name: str) -> str:
    films = "".join(_film(film) for film in sheet.films)
    note = (
        f"The best, the median and the worst episode of {name} by final angle, drops last; each was played again and "
        f"filmed at {sheet.rate_hz:g} frames a second. The small view shows the goal; the bar at the foot is the angle "
        "left, green within 0.4 rad."
    )
    return f'<section class="films"><h2>Episodes</h2><p>{escape(note)}</p>{films}</section>'


def _film(film: Film) -> str:
    score = film.score
    told = f"episode {film.episode}, {score.object_name}: {_verdict(score)}"
    if not film.repeated:
        told += f". The filmed run is another one: {_verdict(film.replayed)}"
    video = f'<video controls muted loop preload="metadata" src="{_embedded("video/mp4", film.mp4)}"></video>'
    alt = escape(f"frames of {told}")
    strip = f'<img alt="{alt}" src="{_embedded("image/png", film.strip)}">'
    caption = f"<b>{escape(film.label.capitalize())}</b>, {escape(told)}"
    return f"<figure>{video}{strip}<figcaption>{caption}</figcaption></figure>"


def _verdict(s: EpisodeScore) -> str:
    how = "dropped" if s.dropped else "at rest" if s.still else "still moving"
    return f"from {s.start_angle:.2f} to {s.final_angle:.2f} rad in {s.duration:.1f} s, {how}"


def _embedded(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _episodes(scores: Sequence[EpisodeScore], name: str) -> str:
    rows = "".join(
        f"<tr><td>{k}</td><td>{escape(s.object_name)}</td><td>{s.start_angle:.3f}</td><td>{s.final_angle:.3f}</td>"
        f"<td>{'yes' if s.declared_done else 'no'}</td><td>{'yes' if s.still else 'no'}</td>"
        f"<td>{'yes' if s.dropped else 'no'}</td><td>{s.duration:.2f}</td></tr>"
        for k, s in enumerate(scores)
    )
    columns = ("", "object", "start, rad", "final, rad", "declared done", "still", "dropped", "time, s")
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<details><summary>All {len(scores)} episodes of {escape(name)}</summary>{table}</details>"
