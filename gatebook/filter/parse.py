"""Reads a filter: text in, an expression out, or an error that says where and what instead. Pure.

Rule: no text hangs or crashes it. The parser is LALR and the terminals' alternatives exclude each other, so its time
grows with the text; the text, the number of terms and the nesting are bounded.
"""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from gatebook.filter import values
from gatebook.filter.error import FilterError
from gatebook.filter.expression import And, Expression, Not, Or, Term
from gatebook.filter.fields import BY_WORD, Field

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

MOST_CHARACTERS = 4096
MOST_TERMS = 100
MOST_NESTED = 50


def parse(text: str, now: datetime | None = None) -> Expression:
    """What `text` asks for; EVERYTHING when it is blank. Raises FilterError.

    Durations count back from `now`, the present if it is not given (UTC when it names no time zone).
    """
    from lark import UnexpectedInput  # takes 30 ms, which whoever wants the table of fields alone does not spend

    if len(text) > MOST_CHARACTERS:
        raise FilterError("", f"at most {MOST_CHARACTERS} characters", MOST_CHARACTERS)
    now = now or datetime.now(UTC)
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        from gatebook.filter import mistakes

        raise mistakes.syntax(text, error) from None
    return _Reader(now if now.tzinfo else now.replace(tzinfo=UTC)).expression(tree, 0)


@cache
def _parser() -> "Lark":
    from lark import Lark

    return Lark.open("grammar.lark", rel_to=__file__, parser="lalr")


class _Reader:
    """Makes the expression of one parse tree."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._terms = 0

    def expression(self, tree: "Tree[Token]", depth: int) -> Expression:
        children: list[Any] = tree.children
        match tree.data:
            case "either":
                return Or(tuple(self.expression(child, depth) for child in children))
            case "both" | "everything":
                return And(tuple(self.expression(child, depth) for child in children))
            case "negated":
                return Not(self.expression(children[1], self._deeper(depth, children[0])))
            case "nested":
                return self.expression(children[1], self._deeper(depth, children[0]))
            case "word":
                return self._counted(Term("text", values.pattern(children[0])), children[0])
            case _:
                return self._counted(self._term(*children), children[0])

    def _deeper(self, depth: int, token: "Token") -> int:
        if depth == MOST_NESTED:
            raise _error("", f"at most {MOST_NESTED} parentheses and NOTs within each other", token)
        return depth + 1

    def _counted(self, term: Term, token: "Token") -> Term:
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise _error("", f"at most {MOST_TERMS} terms", token)
        return term

    def _term(self, name: "Token", operator: "Token", raw: "Token") -> Term:
        field = _field(name)
        key = _key(field, name)
        if operator not in field.operators:
            raise _error(name + operator, f"{' or '.join(field.operators)} after {name}", operator)
        if operator in ":=" and raw.start_pos != operator.end_pos:
            raise FilterError("", f"{field.expected}, without a blank before it", operator.end_pos or 0)
        try:
            value = values.value(field.kind, operator, raw, self._now)
        except ValueError:
            raise _error(name + operator + raw, field.expected, raw) from None
        return Term(field.word, value, operator == "=" and field.kind in ("whole", "part"), key)


def _field(name: "Token") -> Field:
    word, dot, _ = name.partition(".")
    field = BY_WORD.get(word)
    if field is None or (dot and not field.takes_key):
        from gatebook.filter import mistakes

        raise _error(f"{name} is no field", mistakes.unknown_field(name), name)
    return field


def _key(field: Field, name: "Token") -> tuple[str, ...]:
    """What stands behind the field's dot."""
    if not field.takes_key:
        return ()
    rest = name.partition(".")[2]
    try:
        return values.keys(rest) if field.word == "json" else (values.name(rest),)
    except ValueError:
        raise _error(name, f"{field.name}, for example {field.example}", name) from None


def _error(found: str, expected: str, token: "Token") -> FilterError:
    return FilterError(str(found), expected, token.start_pos or 0)
