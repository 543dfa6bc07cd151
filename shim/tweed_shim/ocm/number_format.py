"""Numbers in the formats of OCM: the shortest digits that are read as the same number."""

import math


def json_text(number: int | float) -> str:
    """Return a number in JSON as ECMAScript writes it (RFC 8785, section 3.2.2.3); integers keep every digit."""
    if isinstance(number, int):
        return str(number)
    if not math.isfinite(number):
        raise ValueError(f"JSON has no number for {number}")
    sign, digits, point = _shortest(number)
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return sign + _scientific(digits, point, exponent_digits=1)


def yaml_text(number: int | float) -> str:
    """Return a number as Go's YAML library writes it: with an exponent from a million on, unless it is an integer."""
    text = json_text(number)
    if isinstance(number, int) or (text.lstrip("-").isdigit() and -(1 << 63) <= int(text) < 1 << 64):
        return text
    sign, digits, point = _shortest(number)
    if point < -3 or point > 6:
        return sign + _scientific(digits, point, exponent_digits=2)
    return text


def _shortest(number: float) -> tuple[str, str, int]:
    """Return the sign, the significant digits, and the position of the decimal point relative to the first digit."""
    from decimal import Decimal

    sign, digits, exponent = Decimal(repr(number)).as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return "", "0", 1
    return "-" if sign else "", significant, len(text) + int(exponent)


def _scientific(digits: str, point: int, *, exponent_digits: int) -> str:
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    exponent = f"{abs(point - 1):0{exponent_digits}}"
    return f"{digits[0]}{fraction}e{'-' if point < 1 else '+'}{exponent}"
