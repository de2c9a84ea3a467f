"""How a report looks: quiet, dark on light, one column of text, figures in pairs; printable."""

STYLE = """
:root { color-scheme: light; }
body { max-width: 1080px; margin: 2.5rem auto; padding: 0 1.5rem; background: #fff; color: #222;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.55rem; font-weight: 600; margin: 0 0 .8rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; font-weight: 600; margin: 2.2rem 0 .4rem; }
header { border-bottom: 1px solid #ddd; padding-bottom: 1rem; margin-bottom: 1.4rem; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 1.8rem; margin: 0; }
dt { color: #666; font-size: .78rem; }
dd { margin: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; color: #666; font-size: .82rem; padding-top: .5rem; }
th, td { text-align: right; padding: .28rem .7rem; border-bottom: 1px solid #eee; font-weight: 400; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th, thead td { border-bottom: 1px solid #999; font-weight: 600; }
tbody td:nth-child(2) { font-weight: 600; }
small { color: #666; font-weight: 400; margin-left: .6em; display: inline-block; width: 4.8em; text-align: left; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1.8rem 2.2rem; margin-top: 2rem; align-items: start; }
figure { margin: 0; break-inside: avoid; }
.pair div figure + figure { margin-top: 1.8rem; }
figcaption { color: #444; font-size: .82rem; margin-top: .35rem; }
svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.films figure { display: grid; grid-template-columns: 35% 1fr; gap: .3rem 1rem; margin: 1.2rem 0; align-items: center; }
.films figcaption { grid-column: 1 / -1; }
.films p { color: #444; font-size: .88rem; margin: 0; }
video, img { width: 100%; display: block; border-radius: 3px; }
details { margin: 2.2rem 0; }
summary { cursor: pointer; color: #444; }
details table { font-size: .82rem; margin-top: .6rem; }
details tbody td { font-weight: 400 !important; }
details td:nth-child(2), details th:nth-child(2) { text-align: left; }
@media (max-width: 760px) { .pair, .films figure { grid-template-columns: 1fr; } }
"""
"""The style sheet."""
