"""The fixtures of a real browser."""

from chromium import browser, open_page

__all__ = ["browser", "open_page"]
