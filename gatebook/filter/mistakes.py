"""From lark's error to one that says what to write instead. Only a filter that is wrong gets here."""

import difflib
import re

from lark import UnexpectedInput

from gatebook.filter.error import FilterError
from gatebook.filter.fields import BY_WORD, FIELDS

_A_TERM = 'a term such as method:POST, a word, or "text in quotes"'
_IN_QUOTES = "what holds one of : = < > is searched for in quotes"
_BETWEEN = re.compile(r"[ \t\r\n()]")  # terms
_OPERATOR = " \t\r\n:=<>"


def syntax(text: str, error: UnexpectedInput) -> FilterError:
    """What is wrong where the parser stopped."""
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return FilterError("", _at_end(text, _possible(error)), len(text), at_end=True)
    position = error.pos_in_stream or 0
    return FilterError(*_inside(text, position, _possible(error)), position)


def unknown_field(name: str) -> str:
    """What was expected where `name` stands, which is no field."""
    if name.endswith("!"):
        return f"a - before the term to say not, as in -{name[:-1]}:…"
    if near := difflib.get_close_matches(name.partition(".")[0].lower(), BY_WORD, n=1):
        return f"a field (did you mean {near[0]}?)"
    return f"one of the fields {', '.join(field.name for field in FIELDS)} ({_IN_QUOTES})"


def _possible(error: UnexpectedInput) -> set[str]:
    """The terminals that could have stood there."""
    for known in ("accepts", "allowed", "expected"):
        if terminals := getattr(error, known, None):
            return set(terminals)
    return set()


def _at_end(text: str, possible: set[str]) -> str:
    if "VALUE" in possible:
        return _value_after(text)
    return "a closing )" if "_CLOSE" in possible else _A_TERM


def _inside(text: str, position: int, possible: set[str]) -> tuple[str, str]:
    """What was found and what was expected."""
    found = text[position]
    if found == '"':
        return text[position:], 'a closing "'
    if "VALUE" in possible:
        return "", _value_after(text[:position]) + (", in quotes if it has parentheses" if found in "()" else "")
    if found == ")" and "WORD" not in possible:
        return "", "an opening ( before this )"
    if found in ":=<>" and "_AND" in possible:
        return "", f"a blank here ({_IN_QUOTES})"
    return "", _A_TERM


def _value_after(text: str) -> str:
    """What the field that `text` ends with takes. Anybody may ask this of the event loop, so it takes linear time."""
    name = _BETWEEN.split(text.rstrip(_OPERATOR))[-1].lstrip("-")
    field = BY_WORD.get(name.partition(".")[0])
    return field.expected if field else "a value"
