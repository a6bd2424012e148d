"""As much of protobuf's encoding as the calls to rbd-client need: numbers, bytes, and the fields of a message."""


def message(**fields) -> bytes:
    """From field numbers, as `_1=...`: numbers and truth values, text, bytes. What is 0 or empty is left out."""
    out = b""
    for name, value in fields.items():
        number = int(name.removeprefix("_"))
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(int(value)) if value else b""
        else:
            value = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""
    return out


def fields(encoded: bytes) -> dict[int, int | bytes]:
    """The last value of each field; fixed-width ones are not there."""
    found, at = {}, 0
    while at < len(encoded):
        key, at = _read(encoded, at)
        if key & 7 == 0:
            found[key >> 3], at = _read(encoded, at)
        elif key & 7 == 2:
            length, at = _read(encoded, at)
            found[key >> 3], at = encoded[at : at + length], at + length
        else:
            raise ValueError(f"wire type {key & 7}")
    return found


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def _read(encoded: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        number |= (encoded[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not encoded[at - 1] & 0x80:
            return number, at
