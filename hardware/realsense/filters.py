"""The library's filters, in the order that its makers advise: decimation, spatial, temporal, holes."""

from __future__ import annotations

from typing import Any

from knuckle.hardware.realsense.settings import CameraSettings


class FilterChain:
    """The filters that ``settings`` ask for. Temporal smoothing has a memory, so each stream has its own chain."""

    def __init__(self, rs: Any, settings: CameraSettings) -> None:
        self._filters = []
        if settings.decimation > 1:
            decimation = rs.decimation_filter()
            decimation.set_option(rs.option.filter_magnitude, float(settings.decimation))
            self._filters.append(decimation)
        wanted = (
            (settings.spatial, rs.spatial_filter),
            (settings.temporal, rs.temporal_filter),
            (settings.fill_holes, rs.hole_filling_filter),
        )
        self._filters += [make() for asked, make in wanted if asked]

    def process(self, depth: Any) -> Any:
        """The depth frame after all filters."""
        for step in self._filters:
            depth = step.process(depth)
        return depth.as_depth_frame()
