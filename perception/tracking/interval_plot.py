"""A picture of figures with their intervals, one row for each model, as SVG: no library draws it."""

from __future__ import annotations

from html import escape

ROW, LEFT, WIDTH, TOP = 26, 110, 640, 44
INK, LINE, FAINT = "#22303c", "#2f6f9f", "#d5dde3"


def interval_plot(title: str, rows: dict[str, tuple[float, float, float]], note: str = "") -> str:
    """``rows`` maps a name to a figure and its interval's ends; the SVG as text."""
    values = [value for row in rows.values() for value in row]
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 0.01
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - 70) * (value - low) / (high - low)

    height = TOP + ROW * len(rows) + 46
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="14" y="24" font-size="15">{escape(title)}</text>',
    ]
    for k in range(6):
        value = low + (high - low) * k / 5
        bottom = TOP + ROW * len(rows)
        out.append(f'<path d="M{x(value):.1f} {TOP}V{bottom}" stroke="{FAINT}"/>')
        out.append(f'<text x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle" font-size="11">{value:.3f}</text>')
    for k, (name, (value, first, last)) in enumerate(rows.items()):
        y = TOP + ROW * (k + 0.5)
        out.append(f'<text x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<path d="M{x(first):.1f} {y:.1f}H{x(last):.1f}" stroke="{LINE}" stroke-width="2"/>')
        out.append(f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4.5" fill="{LINE}"/>')
        out.append(f'<text x="{x(last) + 8:.1f}" y="{y + 4:.1f}" font-size="11">{value:.3f}</text>')
    out.append(f'<text x="14" y="{height - 8}" font-size="11">{escape(note)}</text></svg>')
    return "\n".join(out) + "\n"
