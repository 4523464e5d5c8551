"""Which ids a filter can match at all, from what it says about time. Pure."""

from uuid import UUID

from gatebook.filter.expression import And, At, Expression, Not, Or, Term, denied_inside

LOWEST, HIGHEST = UUID(int=0), UUID(int=2**128 - 1)
_LAST_MS = 2**48 - 1


def span(expression: Expression) -> tuple[UUID, UUID]:
    """Where the ids that can match lie: from the first (included) up to the second (excluded).

    LOWEST and HIGHEST when it says nothing; the first is not below the second when nothing can match.
    """
    low, high = _span(denied_inside(expression))
    return UUID(int=low), UUID(int=high)


def first_id(at: At) -> UUID:
    """The smallest id of a point in time, as the SQL function id_floor() has it: where days begin."""
    return UUID(int=min(at.ms, _LAST_MS) << 80 | 0x7 << 76 | 0x8 << 60)


def _span(expression: Expression) -> tuple[int, int]:
    match expression:
        case And(parts):
            spans = [(LOWEST.int, HIGHEST.int), *map(_span, parts)]
            return max(low for low, _ in spans), min(high for _, high in spans)
        case Or(parts):
            spans = [(low, high) for low, high in map(_span, parts) if low < high] or [(0, 0)]
            return min(low for low, _ in spans), max(high for _, high in spans)
        case Term(field="since", value=At() as at) | Not(Term(field="until", value=At() as at)):
            return first_id(at).int, HIGHEST.int
        case Term(field="until", value=At() as at) | Not(Term(field="since", value=At() as at)):
            return LOWEST.int, first_id(at).int
        case Term(value=UUID() as id):
            return id.int, min(id.int + 1, HIGHEST.int)
        case _:
            return LOWEST.int, HIGHEST.int
