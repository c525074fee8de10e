"""Ogg streams with a chosen serial number: libsndfile draws one from the clock, so that no two runs' bytes agree.

RFC 3533: pages of a 27-byte head with serial number and checksum, a table of segment sizes, and the segments.
"""

import zlib

PAGE_MARK = b"OggS"
HEAD_BYTES = 27
SERIAL_AT, CHECKSUM_AT, SEGMENTS_AT = 14, 22, 26
MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def with_serial(stream: bytes, serial: int) -> bytes:
    """The one-stream Ogg file with this serial number on every page, and checksums to match.

    Raises ValueError where no page begins.
    """
    pages = []
    start = 0
    while start < len(stream):
        if stream[start : start + 4] != PAGE_MARK:
            raise ValueError(f"no Ogg page at byte {start}; expected one encoder's own complete output")
        table_stop = start + HEAD_BYTES + stream[start + SEGMENTS_AT]
        stop = table_stop + sum(stream[start + HEAD_BYTES : table_stop])
        page = bytearray(stream[start:stop])
        page[SERIAL_AT : SERIAL_AT + 4] = serial.to_bytes(4, "little")
        page[CHECKSUM_AT : CHECKSUM_AT + 4] = bytes(4)
        page[CHECKSUM_AT : CHECKSUM_AT + 4] = page_checksum(bytes(page)).to_bytes(4, "little")
        pages.append(bytes(page))
        start = stop
    return b"".join(pages)


def page_checksum(page: bytes) -> int:
    """CRC-32 with Ogg's bit order: polynomial 0x04C11DB7 from the high bit down, no inversion.

    zlib's CRC has the same polynomial with bits mirrored and inverted, so mirroring its input and output gives Ogg's.
    """
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(MIRRORED), "big")
