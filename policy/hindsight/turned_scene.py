"""A hand's symmetry in torch: observations and actions as they are when hand, object and goal are turned together."""

from __future__ import annotations

import torch
from torch import nn

from knuckle.sim.reorient.hand_symmetry import UPRIGHTED, HandSymmetry


class TurnedScene(nn.Module):
    """`HandSymmetry` for tensors, in single precision. It has nothing to learn."""

    maps: torch.Tensor
    sources: torch.Tensor

    def __init__(self, symmetry: HandSymmetry) -> None:
        super().__init__()
        self.symmetry = symmetry
        self.register_buffer("maps", torch.as_tensor(symmetry.maps, dtype=torch.float32), persistent=False)
        self.register_buffer("sources", torch.as_tensor(symmetry.sources()), persistent=False)
        self._upright = [symmetry.build.slices[part] for part in UPRIGHTED]

    def every(self, rows: torch.Tensor) -> torch.Tensor:
        """Observations (n, width) in every turn: (n, order, width), the first one as they are."""
        return self._made_upright(torch.einsum("nw,kvw->nkv", rows, self.maps))

    def turn(self, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Observations (n, width), each turned by its number of ``places`` (n,)."""
        out = torch.empty_like(rows)
        for place in range(self.symmetry.order):
            some = places == place
            out[some] = rows[some] @ self.maps[place].T
        return self._made_upright(out)

    def turn_actions(self, actions: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Actions (n, dof), each turned by its number of ``places`` (n,)."""
        return torch.gather(actions, 1, self.sources[places])

    def _made_upright(self, rows: torch.Tensor) -> torch.Tensor:
        for part in self._upright:
            rows[..., part] *= torch.where(rows[..., part.start : part.start + 1] < 0.0, -1.0, 1.0)
        return rows
