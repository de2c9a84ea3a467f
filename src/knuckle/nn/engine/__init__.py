"""A whole stack of layers for one sample at a time: a program of operations, run in C++ or numpy, without torch."""

from knuckle.nn.engine.engine import StreamingEngine
from knuckle.nn.engine.program import Program, load_program

__all__ = ["Program", "StreamingEngine", "load_program"]
