"""A node's configuration as ROS parameters: names, types, ranges and descriptions come from its ``Config``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from knuckle.core.config import FieldSpec, check_value, describe, validate
from knuckle.core.errors import InputError

T = TypeVar("T")

# ROS has no open ranges; where one bound is missing these stand in.
_INT_BOUND = 2**62
_FLOAT_BOUND = 1.7e308


def declare(node: Node, config: T, on_change: Callable[[str, Any], None] | None = None) -> T:
    """Declare every field of ``config`` on ``node`` and return the configuration with ROS overrides applied.

    Values from outside (``--ros-args -p``) are checked as those of a graph are. Without ``on_change`` the parameters
    are read-only; with it they may be set, are checked, and ``on_change(name, value)`` is called for each; it may
    refuse by raising InputError.
    """
    specs = {spec.name: spec for spec in describe(type(config))}
    values = {}
    for name, spec in specs.items():
        value = getattr(config, name)
        values[name] = node.declare_parameter(name, value, _descriptor(spec, read_only=on_change is None)).value
    changed: Any = dataclasses.replace(config, **values)  # type: ignore[type-var]
    validate(changed, where=node.get_name())
    if on_change is not None:
        node.add_on_set_parameters_callback(lambda parameters: _set(node.get_name(), specs, parameters, on_change))
    return changed  # type: ignore[no-any-return]


def _descriptor(spec: FieldSpec, *, read_only: bool) -> ParameterDescriptor:
    text = f"{spec.help} [{spec.unit}]" if spec.unit else spec.help
    descriptor = ParameterDescriptor(description=text, read_only=read_only)
    if spec.choices:
        descriptor.additional_constraints = f"one of: {', '.join(spec.choices)}"
    bounded = spec.low is not None or spec.high is not None
    if bounded and spec.type is int:
        low = -_INT_BOUND if spec.low is None else int(spec.low)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=_int_high(spec), step=0)]
    if bounded and spec.type is float:
        low_f = -_FLOAT_BOUND if spec.low is None else float(spec.low)
        high_f = _FLOAT_BOUND if spec.high is None else float(spec.high)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low_f, to_value=high_f, step=0.0)]
    return descriptor


def _int_high(spec: FieldSpec) -> int:
    return _INT_BOUND if spec.high is None else int(spec.high)


def _set(
    where: str, specs: dict[str, FieldSpec], parameters: list[Parameter], on_change: Callable[[str, Any], None]
) -> SetParametersResult:
    """Check all, then apply all; a refusal is an answer to whoever asked and no failure of the node."""
    ours = [parameter for parameter in parameters if parameter.name in specs]
    try:
        for parameter in ours:
            check_value(specs[parameter.name], parameter.value, where=f"{where}.{parameter.name}")
        for parameter in ours:
            on_change(parameter.name, parameter.value)
    except InputError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
