"""How hard the simulated skin is: the linear rival by window, and what cannot be known, over one folder of strokes.

python benchmarks/skin/measure.py runs/skin-1000 [--strokes 300] [--svg FOLDER]

- Ridge regression on windows of samples that end with the target, fitted to the train part, scored on the test part.
- Floor of the contact: an observer that is given the true force of the sheet on the tip at every sample, the sheet's
  friction and drag, and the future: it inverts the law of the force (writing_world), and where the tip is lifted it
  lets the velocity before fade out and the one after fade in. What it errs by is the grain, what the tip does between
  samples, and the air. No estimator from the skin is given that much.
- Share of noise: the same strokes felt again under other noise and drift; the variance of ridge's estimates over the
  repetitions is what sensor noise alone adds to its error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.policy.svg_plot import Axis, Panel, text
from knuckle.sensors.skin_recording import SkinRecording, SkinStrokes
from knuckle.sensors.window_ridge import fit_ridge
from knuckle.sim.skin.skin_stroke import MagneticSkin

Array = NDArray[np.float64]
WINDOWS = (1, 10, 25, 50, 100)
CM2 = 1e4
"""(m/s)^2 to (cm/s)^2."""
TOUCH_N, FADE_S = 0.05, 0.12
"""A tip that presses with less is lifted; how fast a hand slows down when it lifts, and speeds up before it is down."""
REPEATED, REPEATS = 4, 8


def prepared(recording: SkinRecording) -> tuple[Array, Array]:
    """Signals less the mean of their first five samples, as the paper does, and the target."""
    return recording.signals - recording.signals[:5].mean(axis=0), recording.velocity


def by_force(recording: SkinRecording) -> Array:
    """The velocity (K, 2) by the inverted law of the force, faded out and in where the tip is lifted."""
    sheet = recording.facts["sheet"]
    normal = recording.force[:, 2]
    touching = normal > TOUCH_N
    pull = -recording.force[:, :2] / np.maximum(normal, TOUCH_N)[:, None]
    size = np.linalg.norm(pull, axis=1, keepdims=True)
    speed = np.maximum(0.0, size - sheet["friction"]) / sheet["drag"]
    v = np.where(size > 0.0, pull / np.maximum(size, 1e-12), 0.0) * speed
    fade = np.exp(-1.0 / (FADE_S * recording.rate_hz))
    forwards, backwards = np.where(touching[:, None], v, 0.0), np.where(touching[:, None], v, 0.0)
    for i in range(1, len(v)):
        if not touching[i]:
            forwards[i] = fade * forwards[i - 1]
        if not touching[-i - 1]:
            backwards[-i - 1] = fade * backwards[-i]
    v = np.where(touching[:, None], v, forwards + backwards)
    return np.asarray(v.reshape(-1, recording.every, 2).mean(axis=1))


def score(pairs: list[tuple[Array, Array]]) -> float:
    """Mean squared error over both axes, (cm/s)^2."""
    return float(CM2 * np.mean(np.square(np.concatenate([a - b for a, b in pairs]))))


def interval(per_stroke: list[float], seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean over strokes, by bootstrap."""
    rng = np.random.default_rng(seed)
    means = np.mean(rng.choice(per_stroke, (2000, len(per_stroke))), axis=1)
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strokes", type=int, default=10**9, help="use those below this number")
    parser.add_argument("--svg", type=Path, help="folder for a picture of one stroke")
    options = parser.parse_args()
    strokes = SkinStrokes(options.folder)
    parts = {
        part: [strokes.stroke(k) for k in strokes.split(part) if k < options.strokes]
        for part in ("train", "validation", "test")
    }
    train = [prepared(r) for r in parts["train"]]
    tests = parts["test"]
    print(f"{len(train)} strokes to fit, {len(tests)} to score, mean squared error (cm/s)^2")
    print(f"nothing moves: {score([(np.zeros_like(r.velocity), r.velocity) for r in tests]):.3f}")
    ridges = {}
    for window in WINDOWS:
        ridges[window] = fit_ridge(train, window=window, every=strokes.every)
        errors = [(ridges[window](x), y) for x, y in map(prepared, tests)]
        low, high = interval([score([pair]) for pair in errors])
        seen = score([(ridges[window](x), y) for x, y in train])
        print(f"ridge, window {window:3d}: {score(errors):.3f} [{low:.3f}, {high:.3f}], fitted to {seen:.3f}")
    errors = [(by_force(r), r.velocity) for r in tests]
    low, high = interval([score([pair]) for pair in errors])
    down = [np.all(r.force[:, 2].reshape(-1, strokes.every) > TOUCH_N, axis=1) for r in tests]
    on_sheet = score([(a[d], b[d]) for (a, b), d in zip(errors, down, strict=True)])
    off_sheet = score([(a[~d], b[~d]) for (a, b), d in zip(errors, down, strict=True)])
    share = 1.0 - float(np.mean(np.concatenate(down)))
    print(f"true force, inverted: {score(errors):.3f} [{low:.3f}, {high:.3f}]; on the sheet {on_sheet:.3f}, ", end="")
    print(f"in the air {off_sheet:.3f} ({100.0 * share:.1f}% of the chunks)")
    skin = MagneticSkin(seed=strokes.card["seed"])
    for window in (10, 50):
        spread = []
        for r in tests[:REPEATED]:
            felt = [skin.stroke(r.facts["stroke"], again=a).signals for a in range(REPEATS)]
            estimates = [ridges[window](x - x[:5].mean(axis=0)) for x in felt]
            spread.append(CM2 * np.var(estimates, axis=0, ddof=1).mean())
        print(f"ridge, window {window:3d}, over other noise and drift: variance {np.mean(spread):.4f}")
    if options.svg is not None:
        (options.svg / "signals.svg").write_text(signals_image(tests[0]), encoding="utf-8")
        (options.svg / "target.svg").write_text(target_image(tests[0]), encoding="utf-8")
    return 0


def signals_image(recording: SkinRecording) -> str:
    """The middle magnetometer's and one outer one's channels, and when the tip is lifted."""
    x = recording.signals - recording.signals[:5].mean(axis=0)
    t = (np.arange(len(x)) + 1) / recording.rate_hz
    low, high = (float(f(v / 100.0) * 100.0) for f, v in ((np.floor, x[:, :4].min()), (np.ceil, x[:, :4].max())))
    panel = Panel(seconds(t[-1]), Axis(low, high, tuple((v, f"{v:g}") for v in (low, 0.0, high)), "uT"), width=760)
    lines = [shade(panel, recording)]
    named = (
        (0, "#1f6fb2", "x, middle"),
        (1, "#b2531f", "y, middle"),
        (2, "#2d8a4e", "z, middle"),
        (3, "#9a9a9a", "x, +x"),
    )
    for place, (channel, colour, name) in enumerate(named):
        lines.append(line(panel, t, x[:, channel], colour))
        lines.append(text(70 + 150 * place, 18, name, colour=colour))
    return panel.image("signals of a stroke", lines)


def target_image(recording: SkinRecording) -> str:
    """The target beside what the inverted force says."""
    t = (np.arange(len(recording.velocity)) + 1) * recording.every / recording.rate_hz
    panel = Panel(seconds(t[-1]), Axis(-10.0, 10.0, ((-10.0, "-10"), (0.0, "0"), (10.0, "10")), "cm/s"), width=760)
    lines = [shade(panel, recording)]
    for axis, (colour, name) in enumerate((("#1f6fb2", "x"), ("#b2531f", "y"))):
        lines.append(line(panel, t, 100.0 * recording.velocity[:, axis], colour))
        lines.append(text(70 + 150 * axis, 18, f"velocity along {name}", colour=colour))
    return panel.image("target of a stroke", lines)


def seconds(end: float) -> Axis:
    """The axis of time."""
    return Axis(0.0, end, tuple((float(v), f"{v}") for v in range(0, int(end) + 1, 5)), "s")


def line(panel: Panel, t: Array, y: Array, colour: str) -> str:
    """A curve."""
    points = "L".join(f"{panel.px(float(a)):.1f} {panel.py(float(b)):.1f}" for a, b in zip(t, y, strict=True))
    return f'<path d="M{points}" stroke="{colour}" fill="none" stroke-width="1.1"/>'


def shade(panel: Panel, recording: SkinRecording) -> str:
    """Where the tip is lifted."""
    up = np.concatenate([[False], recording.force[:, 2] <= TOUCH_N, [False]])
    edges = np.flatnonzero(up[1:] != up[:-1]).reshape(-1, 2) / recording.rate_hz
    y0, y1 = panel.py(panel.y.low), panel.py(panel.y.high)
    box = '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="#eee"/>'
    return "".join(box.format(panel.px(a), y1, panel.px(b) - panel.px(a), y0 - y1) for a, b in edges)


if __name__ == "__main__":
    sys.exit(main())
