"""From an expression to a condition in SQL over the columns of `requests`. Pure.

Rules: a condition is never NULL, so that NOT is right; values travel as parameters alone.
"""

from gatebook.filter.expression import And, At, Between, Expression, Not, Or, Pattern, Term
from gatebook.filter.parameters import Parameters
from gatebook.filter.span import first_id
from gatebook.filter.text import (
    ANYTHING,
    NoSuchText,
    contains,
    contains_bytes,
    held,
    in_json,
    is_like,
    lower,
    to_bytes,
    wire,
)

# The target up to ? or #; of an absolute one, what follows scheme and host. 0.1 µs, a regular expression takes 0.7 µs.
PATH = (
    "split_part(split_part(CASE WHEN target LIKE '/%' THEN target "
    "ELSE regexp_replace(target, '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*', '') END, '?', 1), '#', 1)"
)
_WHOLE = {"path": PATH, "replica": "replica", "scheme": "scheme", "version": "http_version"}

# Each header line: 3 µs for ten, so the whole text is looked through first (0.4 µs; 1 µs in lower case). ->> refuses a
# NUL, and nothing is equal to what is put in its place here, since wire text ends at U+00FF.
_A_LINE = (
    r"EXISTS (SELECT FROM json_array_elements(CASE WHEN position('\u0000' IN headers::text) = 0 THEN headers "
    r"ELSE replace(replace(headers::text, '\\', '\u005c'), '\u0000', '\ufffd')::json END) AS line WHERE "
)
_NAME, _VALUE = "(line ->> 0)", "(line ->> 1)"

# The text of a scalar in the body, NULL for anything else. Without OFFSET 0 the body would be parsed twice.
_SCALAR = (
    "(SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'number', 'boolean') THEN value #>> '{{}}' END "
    "FROM (SELECT body_json(body) #> {path} AS value OFFSET 0) AS found)"
)


def condition(expression: Expression, parameters: Parameters) -> str:
    """SQL that is true for the rows that match and false for the others; it may stand beside any operator."""
    match expression:
        case And(parts) | Or(parts):
            word = " AND " if isinstance(expression, And) else " OR "
            return f"({word.join(condition(part, parameters) for part in parts)})" if parts else "true"
        case Not(part):
            return f"(NOT {condition(part, parameters)})"
        case Term():
            try:
                return f"({_term(expression, parameters)})"
            except NoSuchText:
                return "false"


def _term(term: Term, parameters: Parameters) -> str:
    match term.value:
        case Pattern(parts):
            return _text(term, parts, parameters)
        case Between():
            return _between("body_size" if term.field == "size" else term.field, term.value, parameters)
        case At():
            return f"id {'>=' if term.field == 'since' else '<'} {parameters.add(first_id(term.value), 'uuid')}"
        case bool():
            return "truncated" if term.value else "NOT truncated"
        case _ if term.field == "id":
            return f"id = {parameters.add(term.value, 'uuid')}"
        case _:
            return f"{term.field} <<= {parameters.add(term.value, 'cidr')}"


def _text(term: Term, parts: tuple[str, ...], parameters: Parameters) -> str:
    match term.field:
        case "text":
            return _anywhere(parts, parameters)
        case "body":
            return _body(term.exactly, [to_bytes(part) for part in parts], parameters)
        case "json":
            return _json(term.key, [held(part) for part in parts], parameters)
        case "header":
            return _header(wire(lower(term.key[0])), term.exactly, [wire(part) for part in parts], parameters)
        case "target":
            compared = is_like if term.exactly else contains
            return compared([wire(part) for part in parts], parameters).format("target")
        case "method" if not term.exactly:
            return is_like([wire(lower(part)) for part in parts], parameters).format('lower(method COLLATE "C")')
        case field:
            return is_like([wire(part) for part in parts], parameters).format(_WHOLE.get(field, field))


def _anywhere(parts: tuple[str, ...], parameters: Parameters) -> str:
    """In the target, in a header's name or value, or in the body."""
    body = _body(False, [to_bytes(part) for part in parts], parameters)
    if not any(parts):
        return ANYTHING
    try:
        found = contains([wire(part) for part in parts], parameters)
    except NoSuchText:
        return body
    perhaps = contains([in_json(wire(part)) for part in parts], parameters).format("headers::text")
    line = f"{_A_LINE} {found.format(_NAME)} OR {found.format(_VALUE)})"
    return f"{found.format('target')} OR ({perhaps} AND {line}) OR {body}"


def _header(name: str, exactly: bool, parts: list[str], parameters: Parameters) -> str:
    """A line of this name, in whatever case, has such a value."""
    texts = [in_json(part) for part in parts]
    if exactly or any(texts):
        texts = [f'"{texts[0]}"'] if exactly else texts
        perhaps = contains(texts, parameters).format("headers::text")
    else:
        perhaps = contains([f'"{in_json(name)}"'], parameters).format('lower(headers::text COLLATE "C")')
    value = (is_like if exactly else contains)(parts, parameters).format(_VALUE)
    named = f'lower({_NAME} COLLATE "C") = {parameters.add(name, "text")}'
    return f"{perhaps} AND {_A_LINE} {named} AND {value})"


def _json(keys: tuple[str, ...], parts: list[str], parameters: Parameters) -> str:
    """The scalar at this path. JSON is Unicode, and no wire text."""
    path = parameters.add([held(key) for key in keys], "text[]")
    return f"coalesce({is_like(parts, parameters).format(_SCALAR.format(path=path))}, false)"


def _body(exactly: bool, parts: list[bytes], parameters: Parameters) -> str:
    if exactly:
        return f"coalesce(body = {parameters.add(parts[0], 'bytea')}, false)"
    found = contains_bytes(parts, parameters)
    if found == ANYTHING:  # body:* is whether there is one, and who sends none has one of no bytes
        return "coalesce(octet_length(body) > 0, false)" if len(parts) > 1 else "body IS NOT NULL"
    return f"coalesce({found.format('body')}, false)"


def _between(column: str, numbers: Between, parameters: Parameters) -> str:
    bounds = ((">=", numbers.low), ("<=", numbers.high))
    compared = [f"{column} {sign} {parameters.add(bound, 'bigint')}" for sign, bound in bounds if bound is not None]
    return f"coalesce({' AND '.join(compared)}, false)"
