"""Whole numbers out of forms, addresses and headers, which anybody may fill with anything."""

MOST_DIGITS = 18  # all that a database column holds; int() itself raises from 4300 on


def read_whole(text: str, otherwise: int) -> int:
    """`text` as a number of zero or more in plain digits; `otherwise` for whatever else it is."""
    plain = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    return int(text) if plain else otherwise
