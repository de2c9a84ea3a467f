"""The structs of ``native/arguments.hpp``, field by field, and how a torch tensor fills them."""

from __future__ import annotations

import ctypes

from torch import Tensor


class Strided3(ctypes.Structure):
    """A tensor of three axes, read or written where it lies: strides in elements."""

    _fields_ = (("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 3))


class ScanArguments(ctypes.Structure):
    """Everything a scan reads and writes, forward and backward; a null pointer where there is none."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "channels", "states", "length", "chunk", "padded", "softplus")),
        *((name, Strided3) for name in ("u", "delta", "z", "B", "C", "out")),
        *((name, ctypes.c_void_p) for name in ("A", "D", "bias", "first", "last", "starts")),
        *((name, Strided3) for name in ("grad_out", "grad_u", "grad_delta", "grad_z", "grad_B", "grad_C")),
        *((name, ctypes.c_void_p) for name in ("grad_last", "grad_A", "grad_D", "grad_bias", "grad_first")),
    )


class ConvArguments(ctypes.Structure):
    """Everything a causal filter reads and writes, forward and backward."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "channels", "length", "taps", "padded")),
        *((name, Strided3) for name in ("x", "out")),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "before")),
        *((name, Strided3) for name in ("grad_out", "grad_x")),
        *((name, ctypes.c_void_p) for name in ("grad_weight", "grad_bias", "grad_before")),
    )


def strided(x: Tensor | None) -> Strided3:
    """``x`` where it lies; null for None."""
    if x is None:
        return Strided3()
    return Strided3(x.data_ptr(), (ctypes.c_int64 * 3)(*x.stride()))


def pointer(x: Tensor | None) -> int | None:
    """Where the contiguous ``x`` lies; null for None."""
    return None if x is None else x.data_ptr()
