"""Where the registers of a control table lie: which register owns an address, and which run of them a read covers."""

from __future__ import annotations

from functools import cache

from knuckle.hardware.spec.dynamixel_table import EEPROM_END, Register, ServoModel


class TableLayout:
    """The layout of ``model``'s table.

    ``owner`` gives the register of each address that has one; ``indirect`` the Indirect Address registers by their
    address, ``data_link`` the address of the Indirect Address register behind each byte of Indirect Data, and
    ``links`` where those registers point at after power-up.
    """

    def __init__(self, model: ServoModel) -> None:
        self.owner = {r.address + n: r for r in model.registers for n in range(r.size)}
        self.indirect: dict[int, Register] = {}
        self.data_link: dict[int, int] = {}
        self.links: dict[int, int] = {}
        for first, data, count in model.indirect:
            for n in range(count):
                at = first + 2 * n
                name = f"indirect_address_{len(self.indirect) + 1}"
                self.indirect[at] = Register(name, at, 2, True, data + n, EEPROM_END, model.size - 1)
                self.data_link[data + n] = at
                self.links[at] = data + n
        self._spans: dict[tuple[int, int], tuple[int, tuple[Register, ...]]] = {}

    @staticmethod
    @cache
    def of(model: ServoModel) -> TableLayout:
        """The layout of ``model``, made once."""
        return TableLayout(model)

    def span(self, address: int, length: int) -> tuple[int, tuple[Register, ...]] | None:
        """The registers of ``length`` bytes from ``address`` and how many bytes of the first to skip.

        None where some address has no plain register: then each byte has to be looked at.
        """
        key = (address, length)
        span = self._spans.get(key)
        if span is None and (span := self._find(address, length)) is not None:
            self._spans[key] = span
        return span

    def _find(self, address: int, length: int) -> tuple[int, tuple[Register, ...]] | None:
        found: list[Register] = []
        for at in range(address, address + length):
            register = self.owner.get(at)
            if register is None:
                return None
            if not found or found[-1] is not register:
                found.append(register)
        return (address - found[0].address, tuple(found)) if found else None
