"""Protocol 2.0 as the virtual servos speak it: known packets, any body, pieces or garbage, and the maker's SDK."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.hardware.virtual.protocol2 import (
    HEADER,
    MAX_LENGTH,
    Packet,
    PacketReader,
    crc16,
    status,
    stuff,
    unstuff,
)

# What has header bytes in it is what goes wrong.
BYTES = st.one_of(st.binary(max_size=40), st.lists(st.sampled_from([0xFF, 0xFD, 0x00, 0x55]), max_size=40).map(bytes))
PACKETS = st.builds(Packet, st.integers(0, 0xFC) | st.just(0xFE), st.integers(0, 0xFF), BYTES)


def read_all(data: bytes) -> list[Packet]:
    return PacketReader().feed(data)


@pytest.mark.parametrize(
    ("packet", "on_the_wire"),
    [
        # The examples of the maker's protocol page.
        (Packet(1, 0x01), "ff ff fd 00 01 03 00 01 19 4e"),
        (Packet(0xFE, 0x01), "ff ff fd 00 fe 03 00 01 31 42"),
        (Packet(1, 0x02, bytes([0x84, 0, 4, 0])), "ff ff fd 00 01 07 00 02 84 00 04 00 1d 15"),
        (Packet(1, 0x03, bytes([0x74, 0, 0, 2, 0, 0])), "ff ff fd 00 01 09 00 03 74 00 00 02 00 00 ca 89"),
    ],
)
def test_a_packet_is_the_one_of_the_makers_page(packet: Packet, on_the_wire: str) -> None:
    assert packet.encode().hex(" ") == on_the_wire
    assert read_all(bytes.fromhex(on_the_wire)) == [packet]


def test_a_status_is_the_one_of_the_makers_page() -> None:
    assert status(1, 0, bytes([0x06, 0x04, 0x26])).hex(" ") == "ff ff fd 00 01 07 00 55 00 06 04 26 65 5d"
    assert status(1, 0, bytes([0xA6, 0, 0, 0])).hex(" ") == "ff ff fd 00 01 08 00 55 00 a6 00 00 00 8c c0"


def test_a_header_inside_a_body_is_stuffed() -> None:
    # Velocity -1 (ff ff ff ff) before position 2045 (fd 07 00 00): an everyday reading that holds ff ff fd.
    body = bytes([0xFF, 0xFF, 0xFF, 0xFF, 0xFD, 0x07, 0x00, 0x00])
    packet = status(11, 0, body)
    assert packet[7:-2].hex(" ") == "55 00 ff ff ff ff fd fd 07 00 00"
    assert packet[5] == 13  # one more than without
    (back,) = read_all(packet)
    assert back.parameters == bytes([0]) + body


@given(BYTES)
def test_stuffing_leaves_no_header_and_can_be_undone(body: bytes) -> None:
    assert HEADER not in stuff(body)
    assert unstuff(stuff(body)) == body


@given(st.lists(PACKETS, max_size=4), st.data())
def test_packets_come_through_in_any_pieces(packets: list[Packet], data: st.DataObject) -> None:
    stream = b"".join(packet.encode() for packet in packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader, found = PacketReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == packets
    assert reader.pending == 0


@settings(deadline=None)
@given(st.lists(st.tuples(BYTES, PACKETS), max_size=3))
def test_packets_are_found_between_garbage(parts: list[tuple[bytes, Packet]]) -> None:
    # What the garbage announces as a packet is waited for at most MAX_LENGTH bytes long.
    stream = b"".join(noise + packet.encode() for noise, packet in parts) + bytes(MAX_LENGTH + 8)
    intact = [packet for packet in read_all(stream) if packet.intact]
    wanted = [packet for _, packet in parts]
    assert [packet for packet in intact if packet in wanted] == wanted


def test_a_packet_that_a_false_header_would_swallow_is_found() -> None:
    packet = Packet(7, 0x03, bytes([116, 0, 0, 8, 0, 0]))
    false = HEADER + bytes([1, 40, 0, 3])
    found = read_all(false + packet.encode() + bytes(60))
    assert [p for p in found if p.intact] == [packet]
    assert len(found) == 2 and not found[0].intact


@given(PACKETS, st.data())
def test_no_single_flipped_bit_goes_unseen(packet: Packet, data: st.DataObject) -> None:
    wire = bytearray(packet.encode())
    bit = data.draw(st.integers(0, 8 * len(wire) - 1))
    wire[bit // 8] ^= 1 << bit % 8
    assert packet not in [p for p in read_all(bytes(wire) + bytes(MAX_LENGTH + 8)) if p.intact]


def test_a_packet_with_a_wrong_crc_is_given_out_as_broken() -> None:
    wire = bytearray(Packet(1, 0x01).encode())
    wire[-1] ^= 0xFF
    assert read_all(bytes(wire)) == [Packet(1, 0x01, intact=False)]


def test_the_check_value_of_the_crc() -> None:
    # CRC-16/UMTS (0x8005, start 0, not reflected) of the nine digits.
    assert crc16(b"123456789") == 0xFEE8


class Line:
    """What the SDK takes for a port: it keeps what was sent and gives what is to be received."""

    def __init__(self, incoming: bytes = b"") -> None:
        self.sent, self.incoming, self.is_using = b"", bytearray(incoming), False

    def clearPort(self) -> None: ...

    def writePort(self, data: list[int]) -> int:
        self.sent += bytes(data)
        return len(data)

    def readPort(self, size: int) -> bytes:
        out = bytes(self.incoming[:size])
        del self.incoming[:size]
        return out

    def setPacketTimeout(self, size: int) -> None: ...

    def isPacketTimeout(self) -> bool:
        return not self.incoming


def sdk_packets() -> object:
    sdk = pytest.importorskip("dynamixel_sdk")
    return sdk.PacketHandler(2.0)


@given(st.integers(0, 0xFC), st.integers(0, 661), st.binary(min_size=1, max_size=8))
def test_what_the_sdk_writes_is_read_here(id: int, address: int, data: bytes) -> None:
    line = Line()
    sdk_packets().writeTxOnly(line, id, address, len(data), list(data))  # type: ignore[attr-defined]
    parameters = address.to_bytes(2, "little") + data
    if b"\xff\xff\xfd" not in parameters:
        assert read_all(line.sent) == [Packet(id, 0x03, parameters)]


def test_the_sdk_sends_a_header_in_a_body_unstuffed() -> None:
    # dynamixel-sdk 4.1.0 makes the stuffed packet and throws it away: no goal of a driver may contain ff ff fd.
    line = Line()
    sdk_packets().writeTxOnly(line, 1, 116, 4, [0xFF, 0xFF, 0xFD, 0xFF])  # type: ignore[attr-defined]
    assert bytes([0xFF, 0xFF, 0xFD, 0xFF]) in line.sent
    assert line.sent != Packet(1, 0x03, bytes([116, 0, 0xFF, 0xFF, 0xFD, 0xFF])).encode()


@given(st.integers(0, 0xFC), st.integers(0, 0xFF), BYTES)
def test_what_we_answer_is_read_by_the_sdk(id: int, error: int, data: bytes) -> None:
    received, result = sdk_packets().rxPacket(Line(status(id, error, data)), False)  # type: ignore[attr-defined]
    assert result == 0
    assert (received[4], received[8], bytes(received[9 : 9 + len(data)])) == (id, error, data)
