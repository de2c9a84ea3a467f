"""Kernels in C++ for the processor, built with the package where there is a compiler; nothing here needs one."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from knuckle.nn.kernels.library import INSTRUCTION_SETS, available, instruction_set, missing

if TYPE_CHECKING:
    from knuckle.nn.kernels.conv import causal_conv
    from knuckle.nn.kernels.scan import selective_scan

__all__ = ["INSTRUCTION_SETS", "available", "causal_conv", "instruction_set", "missing", "selective_scan"]


def __getattr__(name: str) -> Any:
    """The kernels that work on torch tensors, imported when asked for: the streaming engine runs without torch."""
    if name == "selective_scan":
        return importlib.import_module("knuckle.nn.kernels.scan").selective_scan
    if name == "causal_conv":
        return importlib.import_module("knuckle.nn.kernels.conv").causal_conv
    raise AttributeError(name)
