"""The kernels in C++; all else stands in pyproject.toml, where setuptools takes extensions only as an experiment.

What is built is a plain shared library that ctypes loads. Each of its sources compiles for one instruction set by
itself, so no flag here is of the machine that builds. Where it cannot be built the package installs without it, and
torch or numpy do the work.
"""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/knuckle/nn/kernels/native")

setup(
    ext_modules=[
        Extension(
            "knuckle.nn.kernels._native",
            sources=[path.as_posix() for path in sorted(NATIVE.glob("*.cpp"))],
            depends=[path.as_posix() for path in sorted(NATIVE.glob("*.hpp"))],
            language="c++",
            extra_compile_args=[
                *("-std=c++17", "-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno"),
                *("-fvisibility=hidden", "-Wno-psabi", "-Wno-attributes"),
            ],
            optional=True,
        )
    ]
)
