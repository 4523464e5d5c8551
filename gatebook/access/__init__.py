"""Who may look: from where, by which name, and with what proof.

networks    which network an address is in
access      the verdict that the viewer and the page at `/` share
session     what a browser shows after it has signed in
token       what programs show
attempts    how fast passwords may be tried

Pure: values in, values out; no socket, no database, no clock of its own.
"""

from gatebook.access.access import Access, Hidden, Refusal

__all__ = ["Access", "Hidden", "Refusal"]
