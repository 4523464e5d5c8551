"""Everything that reads what a stranger sent, and what must be true of it."""

from fuzz.target import TARGETS as TARGETS

from fuzz.targets import access as access  # isort: skip
from fuzz.targets import asked as asked  # isort: skip
from fuzz.targets import hop as hop  # isort: skip
from fuzz.targets import log as log  # isort: skip
from fuzz.targets import redact as redact  # isort: skip
from fuzz.targets import settings as settings  # isort: skip
from fuzz.targets import shown as shown  # isort: skip
