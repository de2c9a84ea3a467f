"""Which implementation of the selective scan runs: the original's kernels, ours in C++, or torch."""

from __future__ import annotations

import functools
import importlib
import importlib.util

import torch

from knuckle.core.errors import InputError, unknown_name

BACKENDS = ("auto", "mamba_ssm", "cpp", "torch")
"""What a layer's ``backend`` may be; "auto" takes the first of the others that can run."""


def check_backend(backend: str) -> str:
    """``backend`` itself where it is one of BACKENDS, InputError otherwise; whether it can run, the tensors decide."""
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    return backend


def resolve(backend: str, device: torch.device, scan: str = "selective") -> str:
    """The backend that runs a ``scan`` on tensors of ``device``: "mamba_ssm", "cpp" or "torch".

    ``scan`` is "selective", Mamba's, or "ssd", that of Mamba-2, for which there is no C++. "auto" falls back to torch
    silently, and takes torch while a graph is traced or exported; any other name is refused with InputError where it
    cannot run.
    """
    check_backend(backend)
    if backend == "auto":
        if torch.compiler.is_compiling() or torch._C._is_tracing():
            return "torch"
        return next((name for name in ("mamba_ssm", "cpp") if not why_not(name, device, scan)), "torch")
    problem = why_not(backend, device, scan)
    if problem:
        raise InputError(f"backend '{backend}' cannot run: {problem}", right="'auto' or 'torch'")
    return backend


def why_not(backend: str, device: torch.device, scan: str = "selective") -> str:
    """What keeps ``backend`` from running a ``scan`` on tensors of ``device``; empty where nothing does."""
    if backend == "mamba_ssm":
        problem = _original("selective_scan_cuda" if scan == "selective" else "triton")
        return problem or ("" if device.type == "cuda" else f"its kernels need CUDA tensors, these are on {device}")
    if backend == "cpp":
        if scan != "selective":
            return "there is no C++ kernel for the scan of Mamba-2"
        return _ours() if device.type == "cpu" else f"the C++ kernel needs tensors on the CPU, these are on {device}"
    return ""


@functools.cache
def _original(kernels: str) -> str:
    for module in ("mamba_ssm", kernels):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return "" if torch.cuda.is_available() else "torch sees no CUDA device"


@functools.cache
def _ours() -> str:
    try:
        kernels = importlib.import_module("knuckle.nn.kernels")
    except ImportError as error:
        return f"the C++ kernel is not there ({error})"
    return str(kernels.missing())
