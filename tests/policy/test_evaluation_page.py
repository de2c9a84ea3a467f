"""The report of an evaluation: what it shows is what was scored, and one file holds all of it."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knuckle.core.errors import InputError, RunError
from knuckle.core.figures import wilson
from knuckle.policy.evaluation_page import family_shares, page, write_page
from knuckle.policy.evaluation_plots import success_curve, success_over_time
from knuckle.policy.reorient_score import EpisodeScore, figures_of
from knuckle.policy.svg_plot import Axis, Panel
from knuckle.policy.video_sheet import Film, VideoSheet
from knuckle.sim.objects import NOVEL, TRAIN
from knuckle.sim.picture import png

PROTOCOL = {"world": "table", "hand": "dclaw3", "rung": "so3"}


def score(
    final: float, *, name: str = "duck", duration: float = 6.0, still: bool = True, dropped: bool = False
) -> EpisodeScore:
    return EpisodeScore(name, 2.0, final, True, still, dropped, duration, 3.0, 2.5)


def some(n: int, seed: int = 0, names: tuple[str, ...] = TRAIN) -> list[EpisodeScore]:
    rng = np.random.default_rng(seed)
    return [
        score(
            float(rng.uniform(0.0, 3.0)),
            name=names[k % len(names)],
            duration=float(rng.uniform(1.0, 15.0)),
            still=bool(rng.random() < 0.8),
            dropped=bool(rng.random() < 0.2),
        )
        for k in range(n)
    ]


def rendered(results: dict[str, list[EpisodeScore]], film: VideoSheet | None = None, title: str = "A report") -> str:
    both = {name: figures_of(scores) for name, scores in results.items()}
    figures, intervals = ({name: pair[i] for name, pair in both.items()} for i in (0, 1))
    return page(title, PROTOCOL, results, figures, intervals, film)  # type: ignore[arg-type]


class Reader(HTMLParser):
    """Tags, attributes and table cells; complains of tags that are not closed."""

    VOID = frozenset({"meta", "img", "path", "rect", "circle", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def curves(svg: str) -> list[list[tuple[float, float]]]:
    """The corners of every curve, the last drawn (the judged controller) first."""
    paths = re.findall(r'class="curve" d="M([^"]+)"', svg)
    corners = [[tuple(map(float, corner.split())) for corner in path.split("L")] for path in paths]
    return corners[::-1]  # type: ignore[return-value]


def test_the_table_says_the_figures_of_every_controller_with_their_intervals() -> None:
    results = {"mpc": some(40), "nothing": some(40, 1), "random": some(40, 2)}
    reader = Reader(rendered(results))
    words = " ".join(" ".join(reader.words).split())
    for scores in results.values():
        figures, intervals = figures_of(scores)
        for name in ("success_0p4", "drop_rate"):
            low, high = intervals[name]
            assert f"{figures[name]:.0%} {100 * low:.0f} to {100 * high:.0f}" in words
        assert f"{figures['median_time_all_s']:.1f} s" in words
    assert "2.5 s" in words  # processor time
    assert all(f"{key} {value}" in words for key, value in PROTOCOL.items())


def test_a_figure_that_does_not_exist_is_a_dash() -> None:
    text = rendered({"nothing": [score(2.0)]})
    assert "nan" not in re.findall(r"<td>(\w+)", text)
    assert re.search(r"median time to success[^<]*</th><td>–", text)


@given(
    finals=st.lists(
        st.tuples(st.floats(0.0, math.pi), st.booleans(), st.booleans(), st.floats(0.1, 17.0)), min_size=1, max_size=30
    )
)
def test_curves_only_rise_and_end_at_the_share_that_counts(finals: list[tuple[float, bool, bool, float]]) -> None:
    scores = [score(f, still=s, dropped=d, duration=t) for f, s, d, t in finals]
    count = {
        success_curve: sum(s.still and not s.dropped for s in scores),
        success_over_time: sum(s.succeeded(0.4) for s in scores),
    }
    panel = Panel(Axis(0.0, 1.0, (), ""), Axis(0.0, 1.0, (), ""))
    for draw, hits in count.items():
        (corners,) = curves(draw({"mpc": scores}))
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        assert xs == sorted(xs)
        assert ys == sorted(ys, reverse=True)  # pixels count from the top
        assert ys[-1] == pytest.approx(panel.py(hits / len(scores)), abs=0.02)
        assert xs[-1] == pytest.approx(panel.px(1.0), abs=0.02)


def test_the_success_curve_passes_the_figures_at_the_marks() -> None:
    scores = some(60)
    (corners,) = curves(success_curve({"mpc": scores}))
    figures, _ = figures_of(scores)
    for threshold in (0.1, 0.2, 0.4, 0.8):
        x = 52.0 + math.log(threshold / 0.05) / math.log(math.pi / 0.05) * (520.0 - 52.0 - 14.0)
        y = [corner[1] for corner in corners if corner[0] <= x][-1]
        share = (330.0 - 44.0 - y) / (330.0 - 44.0 - 30.0)
        assert share == pytest.approx(figures[f"success_{threshold:g}".replace(".", "p")], abs=1e-3)


def test_each_controller_has_a_curve_of_its_own_look() -> None:
    svg = success_curve({"mpc": some(9), "nothing": some(9, 1), "random": some(9, 2)})
    looks = re.findall(r'class="curve".*?stroke="(#\w+)".*?stroke-dasharray="([^"]*)"', svg)
    assert len(set(looks)) == 3
    assert len({dash for _, dash in looks}) == 3


def test_families_and_objects_are_counted_once_and_novel_ones_are_named_so() -> None:
    scores = [*some(50), *some(30, 3, NOVEL), score(0.1, name="gramophone")]
    shares = family_shares(scores)
    assert sum(family.n for family, _ in shares) == len(scores)
    assert sum(family.hits for family, _ in shares) == sum(s.succeeded(0.4) for s in scores)
    assert sum(family.drops for family, _ in shares) == sum(s.dropped for s in scores)
    for family, members in shares:
        assert (family.n, family.hits) == (sum(m.n for m in members), sum(m.hits for m in members))
    labels = {family.label for family, _ in shares}
    assert {"letters", "kitchen (novel)", "other"} <= labels
    text = rendered({"mpc": scores})
    low, high = wilson(shares[0][0].hits, shares[0][0].n)
    assert f"{shares[0][0].hits} of {shares[0][0].n}" in text
    assert low < high


def test_the_page_loads_nothing_and_is_well_formed() -> None:
    film = VideoSheet(
        (Film("best", 1, score(0.1), score(0.1), b"mp4", png(np.zeros((2, 2, 3), np.uint8))),), "egl", 12.0
    )
    text = rendered({"mpc": some(30), "nothing": some(30, 1)}, film)
    reader = Reader(text)
    for tag, attributes in reader.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        for name in ("src", "href", "poster", "data", "srcset", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, value)
    assert "url(" not in text and "@import" not in text
    sources = [attributes["src"] for tag, attributes in reader.tags if tag in ("video", "img")]
    assert [str(source).partition(";")[0] for source in sources] == ["data:video/mp4", "data:image/png"]


def test_names_cannot_bring_markup_into_the_page() -> None:
    evil = '<script>alert("1")</script>'
    results = {evil: [score(0.1, name=evil)]}
    text = rendered(results, title=evil)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 4
    Reader(text)


def test_a_run_that_did_not_repeat_itself_is_told() -> None:
    picture = png(np.zeros((2, 2, 3), np.uint8))
    same = Film("best", 3, score(0.1), score(0.1), b"", picture)
    other = Film("worst", 4, score(0.1), score(1.7, dropped=True), b"", picture)
    assert same.repeated and not other.repeated
    text = rendered({"mpc": some(5)}, VideoSheet((same, other), "egl", 12.0))
    assert text.count("The filmed run is another one: from 2.00 to 1.70 rad in 6.0 s, dropped") == 2  # alt and caption


def test_the_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "report.html"
    results = {"mpc": some(5)}
    figures, intervals = figures_of(results["mpc"])
    write_page(path, "A report", PROTOCOL, results, {"mpc": figures}, {"mpc": intervals})
    whole = path.read_text(encoding="utf-8")
    assert whole.startswith("<!doctype html>") and whole.rstrip().endswith("</html>")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="the report cannot be written \\(No space left on device\\)") as caught:
        write_page(path, "Another", PROTOCOL, results, {"mpc": figures}, {"mpc": intervals})
    assert "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == whole
    assert list(path.parent.iterdir()) == [path]


def test_a_report_of_no_episode_is_refused(tmp_path: Path) -> None:
    for results in ({}, {"mpc": []}, {"mpc": some(2), "nothing": []}):
        with pytest.raises(InputError, match="no episode to report"):
            write_page(tmp_path / "report.html", "A report", PROTOCOL, results, {}, {})
    assert list(tmp_path.iterdir()) == []
