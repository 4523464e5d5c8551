"""What is hidden of a request: of its headers, its target and its body."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from gatebook.redact import elements, json_values, layers, lines, pairs, parts
from gatebook.redact.names import Names
from gatebook.redact.span import Mask, Span, merged, replaced

MASK = "[redacted]"

Find = Callable[[str], Iterable[Span]]


class Redaction:
    """Masks the values of everything that has a name like one of `patterns`, as gatebook.settings has them.

    `mask` is asked, value by value, what is to stand in its place. False when there is no pattern: nothing is masked.
    """

    def __init__(self, patterns: Sequence[str], mask: Mask = lambda value: MASK) -> None:
        self.patterns = tuple(patterns)
        self._mask = mask
        self._names = Names(patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def numbered(self) -> "Redaction":
        """One that masks alike what is alike, and differently what differs: for values that are to be compared."""
        numbers: dict[str, int] = {}

        def mask(value: str) -> str:
            return f"[redacted {numbers.setdefault(value, len(numbers) + 1)}]"

        return Redaction(self.patterns, mask)

    def may_mask(self, text: str) -> bool:
        """False: there is surely nothing to mask in the text, nor in what it is the JSON of. That is known at once."""
        return bool(self) and ("%" in text or "\\u" in text or self._names.may_be_in(text))

    def headers(self, headers: Sequence[Sequence[str]]) -> tuple[list[list[str]], bool]:
        """Names and values, and whether anything was masked: whole values by their names, and pairs in the others."""
        masked = [[name, self._header(name, value)] for name, value in headers]
        return masked, any(value is not old for (_, value), (_, old) in zip(masked, headers, strict=True))

    def target(self, target: str) -> tuple[str, bool]:
        """The target of a request (wire text), and whether anything in it was masked."""
        if not self.may_mask(target):
            return target, False
        found = self._text(target, partial(pairs.in_target, names=self._names))
        return found, found is not target

    def line(self, line: str) -> str:
        """A request line: method, target, and perhaps a version."""
        method, blank, rest = line.partition(" ")
        target, before_version, version = rest.rpartition(" ")
        if not version.startswith("HTTP/"):
            target, before_version, version = rest, "", ""
        return method + blank + self.target(target)[0] + before_version + version

    def text(self, text: str) -> str:
        """Any text of one character for a byte; the very same object when nothing in it is to be masked."""
        if not self.may_mask(text):
            return text
        return self._text(text, partial(pairs.in_text, names=self._names))

    def body(self, body: bytes) -> tuple[bytes, bool]:
        """The body, and whether anything in it was masked. 10 MiB of JSON take 0.1 s; the worst 10 MiB some seconds."""
        if not self:
            return body, False
        found = self._wide(body)
        text = found.decode("latin-1")
        masked = self.text(text)
        return (found if masked is text else masked.encode("latin-1")), found is not body or masked is not text

    def whole(self, value: bytes) -> bytes:
        """What stands for all of a value that cannot be masked in part."""
        return self._mask(value.decode("latin-1")).encode()

    def _header(self, name: str, value: str) -> str:
        if not self:
            return value
        return self._mask(value) if name in self._names else self.text(value)

    def _text(self, text: str, find_pairs: Find) -> str:
        spans = self._spans(text, find_pairs)
        return replaced(text, spans, self._mask) if spans else text

    def _spans(self, text: str, find_pairs: Find) -> list[Span]:
        found = list(self._found(text, find_pairs))
        for ways in layers.within(text):
            for span in self._found(ways[0].text, find_pairs):
                for way in ways:
                    span = way.sent(span)
                found.append(span)
        return merged(found)

    def _found(self, text: str, find_pairs: Find) -> Iterator[Span]:
        """In a text as it stands there."""
        if not self.may_mask(text):
            return
        if '"' in text:
            yield from json_values.spans(text, self._names)
        if "=" in text:
            yield from find_pairs(text)
        if ": " in text or ":\t" in text:
            yield from lines.spans(text, self._names)
        if "--" in text:
            yield from parts.spans(text, self._names)
        if "<" in text:
            yield from elements.spans(text, self._names)

    def _wide(self, body: bytes) -> bytes:
        """Masked where it is text of several bytes a character; one body may have parts of several kinds."""
        found = []
        for wide in layers.wide(body):
            for span in self._spans(wide.text, partial(pairs.in_text, names=self._names)):
                mask = span.quote + self._mask(wide.text[span.start : span.end]) + span.quote
                found.append((span.start * wide.width, span.end * wide.width, mask.encode(wide.encoding)))
        if not found:
            return body
        pieces, at = [], 0
        for start, end, masked in sorted(found):
            if start >= at:
                pieces += [body[at:start], masked]
            at = max(at, end)
        return b"".join([*pieces, body[at:]])


NOTHING = Redaction(())
