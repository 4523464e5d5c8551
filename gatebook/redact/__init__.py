"""What is hidden of a request until somebody asks to see it: the values of headers, parameters and keys by their names.

Rule: only a value is ever replaced; every other byte stays as it was sent. Where it is not certain how far a value
goes, it goes further: nothing of it is shown. The time that is needed grows with the text and with nothing else,
whatever was sent. Pure: it knows nothing of rows, answers or pages, and believes no Content-Type.

    names         which names are meant
    span          what is to be replaced of a text, and replacing it
    json_values   values of JSON keys, also in JSON that is broken, cut off, or within a string of JSON
    pairs         name=value, in targets, forms, and wherever else URLs are
    lines         lines `name: value`
    elements      elements of XML
    parts         parts of multipart bodies, by their names
    layers        the same texts with escapes, in UTF-16 and in UTF-32
    redaction     all of it together
"""

from gatebook.redact.redaction import MASK as MASK
from gatebook.redact.redaction import NOTHING as NOTHING
from gatebook.redact.redaction import Redaction as Redaction
