"""The header of a page, as far as its checksum.

A header is a Thrift struct in the compact protocol: 1 type, 2 and 3 sizes, 4 the checksum if there is one.

>>> has_checksum(bytes([0x15, 0x00, 0x15, 0x14, 0x15, 0x14, 0x15, 0x02]))
True
>>> has_checksum(bytes([0x15, 0x00, 0x15, 0x14, 0x15, 0x14, 0x2C]))
False
"""

MOST = 32
"""Bytes that hold the first four fields."""
_I32 = 5
_CRC = 4


def has_checksum(header: bytes) -> bool | None:
    """Whether a page has a checksum; None where these are not the first bytes of a page."""
    field, at = 0, 0
    while at < len(header):
        delta, kind = header[at] >> 4, header[at] & 0xF
        field += delta
        if not delta or (field < _CRC and kind != _I32):
            return None
        if field >= _CRC:
            return field == _CRC and kind == _I32
        at += 1
        while at < len(header) and header[at] & 0x80:
            at += 1
        at += 1
    return None
