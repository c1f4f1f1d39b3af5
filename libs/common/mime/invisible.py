"""Characters that a reader does not see: copied along from a web page, they make another address of an address."""

import unicodedata

# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt) beyond the categories below, the fillers, and the
# Braille pattern without a dot, which fonts draw as a gap.
_IGNORABLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
_ORDINARY = " \t"


def check_visible(text: str, *, but: str = "", ends_only: bool = False) -> None:
    """Raises ValueError naming the first invisible character by its code point.

    Space, TAB and those in `but` are let through. `ends_only`: the first and the last character alone are looked at.
    """
    if text.isascii() and text.isprintable():
        return
    for position, character in enumerate(text):
        if ends_only and 0 < position < len(text) - 1:
            continue
        if character not in _ORDINARY and character not in but and is_invisible(character):
            where = f"character {position + 1} of {len(text)}"
            raise ValueError(f"holds {named(character)} ({where}), which cannot be seen: remove it")


def is_invisible(character: str) -> bool:
    """True if the character is invisible or shows as a gap."""
    return character in _IGNORABLE or unicodedata.category(character) in _CATEGORIES


def named(character: str) -> str:
    """`U+200B ZERO WIDTH SPACE`."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".rstrip()
