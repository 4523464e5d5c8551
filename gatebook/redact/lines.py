"""Where the values of lines `name: value` are, as of YAML, of settings, or of messages that stand in a body.

Rule: the value is the rest of the line.
"""

import re
from collections.abc import Iterator

from gatebook.redact.names import Names
from gatebook.redact.span import Span

_LINE = re.compile(r"^[ \t]*+(?:- )?([^:\s\"'{}\[\],<>=&?]{1,200}+)[ \t]*+:[ \t]++([^\r\n]++)", re.MULTILINE)


def spans(text: str, names: Names) -> Iterator[Span]:
    """What stands behind the names that are in `names`."""
    for line in _LINE.finditer(text):
        if line[1] in names:
            yield Span(*line.span(2))
