"""The panel beside the scene: state, the stop button and the others, the angle's curve, the stream, the nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import viser
from viser import uplot

from knuckle.hardware.spec.hand_spec import Array
from knuckle_ros.page import palette, panel_text
from knuckle_ros.page.heard import Health, Safety

STOP = "STOP"
ARM = "Arm"
REARM = "Re-arm after a stop"
NEXT_GOAL = "Next goal"
RESET = "Reset the world"
INTRUDER = "Send an intruder"

# viser gives a button its colour and nothing else; the stop button, the only red one, is to be found at once.
_STYLE = """<style>button[style*="color-red-filled"] {height: 3.9em !important}
button[style*="color-red-filled"] .mantine-Button-label {font-size: 1.25em; font-weight: 700 !important;
letter-spacing: .08em}</style>"""


class Panel:
    """The controls; ``pressed`` is called with a button's name, in a thread of the page's server."""

    def __init__(self, server: viser.ViserServer, pressed: Callable[[str], None], show_cloud: Callable[[bool], None]):
        gui = server.gui
        gui.configure_theme(
            control_layout="fixed", control_width="large", dark_mode=True, show_logo=False, show_share_button=False
        )
        gui.set_panel_label("knuckle")
        self._server = server
        gui.add_html(_STYLE)
        self._safety = gui.add_html(panel_text.safety_card(None, "", None))
        self._button(STOP, pressed, color="red", icon=viser.Icon.HAND_STOP, hint="Stop the hand; it stays stopped")
        self._button(ARM, pressed, color="green", icon=viser.Icon.PLAYER_PLAY, hint="Let the policy take the hand")
        self._button(REARM, pressed, color="gray", icon=viser.Icon.LOCK_OPEN, hint="Clear the latched stop")
        self._button(NEXT_GOAL, pressed, color="gray", icon=viser.Icon.PLAYER_TRACK_NEXT, hint="Give this goal up")
        self._button(RESET, pressed, color="gray", icon=viser.Icon.REFRESH, hint="Put hand and object back")
        self._button(INTRUDER, pressed, color="gray", icon=viser.Icon.BALL_TENNIS, hint="A ball comes to the hand")
        with gui.add_folder("Angle to the goal"):
            self._angle = gui.add_html(panel_text.angle_line(None, "", False))
            self._plot = gui.add_uplot((np.zeros(1), np.zeros(1)), **_plot_options())
        with gui.add_folder("Orientation stream"):
            self._stream = gui.add_html(panel_text.stream_card(None, False, None, ""))
        with gui.add_folder("Nodes"):
            self._nodes = gui.add_html(panel_text.health_table({}, 0.0))
        with gui.add_folder("Point cloud"):
            self._cloud = gui.add_html(panel_text.cloud_line(None, False))
            box = gui.add_checkbox("show it", True)
            box.on_update(lambda _: show_cloud(box.value))

    def show_safety(
        self, safety: Safety | None, task: str, factor: float | None, watch: panel_text.WatchWords | None
    ) -> None:
        """The driver's state, the policy's line, the real-time factor, and what the watch of the zone says."""
        _set(self._safety, panel_text.safety_card(safety, task, factor, watch))

    def show_angle(self, degrees: float | None, object_name: str, seen: bool) -> None:
        """The angle now."""
        _set(self._angle, panel_text.angle_line(degrees, object_name, seen))

    def show_curve(self, seconds: Array, degrees: Array) -> None:
        """The angle's last half minute."""
        self._plot.data = (seconds, degrees)

    def show_stream(self, orientation: Array | None, valid: bool, deviation_deg: float | None, source: str) -> None:
        """The stream's estimate."""
        _set(self._stream, panel_text.stream_card(orientation, valid, deviation_deg, source))

    def show_nodes(self, nodes: Mapping[str, Health], now_s: float) -> None:
        """The health of every node."""
        _set(self._nodes, panel_text.health_table(nodes, now_s))

    def show_cloud(self, points: int | None, camera: bool) -> None:
        """The size of the newest cloud."""
        _set(self._cloud, panel_text.cloud_line(points, camera))

    def tell(self, title: str, text: str, good: bool) -> None:
        """A word to whoever looks, gone after a few seconds."""
        for client in self._server.get_clients().values():
            client.add_notification(title, text, auto_close_seconds=6.0, color="green" if good else "red")

    def _button(self, name: str, pressed: Callable[[str], None], **options: Any) -> None:
        button = self._server.gui.add_button(name, **options)
        button.on_click(lambda _: pressed(name))


def _plot_options() -> dict[str, Any]:
    grid = uplot.Axis_Grid(stroke="#3a414d", width=1)
    curve = uplot.Series(label="deg", stroke=palette.ACCENT, width=2, spanGaps=False)
    return {
        "series": (uplot.Series(label="s"), curve),
        # A fixed range of x as well would leave the axes as they were first drawn, before the panel had its width.
        "scales": {"x": uplot.Scale(time=False), "y": uplot.Scale(range=(0.0, 180.0))},
        "axes": (
            uplot.Axis(stroke=palette.FAINT, grid=grid),
            uplot.Axis(stroke=palette.FAINT, grid=grid, incrs=(60.0,)),
        ),
        "legend": uplot.Legend(show=False),
        "padding": (14, 14, 0, 0),
        "aspect": 2.3,
    }


def _set(handle: viser.GuiHtmlHandle, content: str) -> None:
    """Send only what changed."""
    if handle.content != content:
        handle.content = content
