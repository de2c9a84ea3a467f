"""Names of models as a command takes them: ``flat:lstm``, ``hiss:mamba/s4d`` (Mamba over S4D, as the paper says it)."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.errors import InputError, unknown_name

FAMILIES = ("lstm", "gru", "transformer", "s4", "s4d", "mamba", "mamba2")
RIGHT = f"flat:FAMILY or hiss:HIGH/LOW, of {', '.join(FAMILIES)}"


@dataclass(frozen=True)
class ModelName:
    """``low`` reads samples; ``high`` reads the features of chunks, and is empty for a flat model."""

    low: str
    high: str = ""

    @property
    def flat(self) -> bool:
        """Whether there is one level only."""
        return not self.high

    def __str__(self) -> str:
        return f"flat:{self.low}" if self.flat else f"hiss:{self.high}/{self.low}"


def model_name(text: str, *, where: str = "--model") -> ModelName:
    """The name that ``text`` says; InputError for anything else."""
    kind, _, rest = text.partition(":")
    if kind not in ("flat", "hiss") or (kind == "hiss") != ("/" in rest) or not rest:
        raise InputError(f"'{text}' is no model", where=where, right=RIGHT)
    high, _, low = rest.rpartition("/")
    for family in (high, low) if kind == "hiss" else (low,):
        if family not in FAMILIES:
            raise unknown_name("family", family, FAMILIES, where=where)
    return ModelName(low, high)
