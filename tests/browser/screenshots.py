"""Makes the README's pictures: `python -m tests.browser.screenshots [FOLDER]`, by default docs.

Starts a stack of its own, sends it what a small shop might get, photographs the page and removes the stack. Port 8080
must be free.
"""

import random
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.extend(map(str, Path(__file__).parents[:2]))  # what pytest does for the tests

from chromium import ARGUMENTS
from local_stack import CHECKOUT, Stack
from wire import ask

SENT = [
    ("POST", "/webhooks/stripe", 1893),
    ("GET", "/products?page=2", 0),
    ("POST", "/webhooks/github", 7321),
    ("PUT", "/orders/1042", 388),
    ("GET", "/caf\u00e9/menu", 0),
    ("POST", "/orders", 412),
    ("GET", "/.env", 0),
    ("DELETE", "/carts/7f3a", 0),
    ("POST", "/upload/invoice.pdf", 284_117),
    ("GET", "/favicon.ico", 0),
    ("PROPFIND", "/dav/", 120),
    ("PATCH", "/users/17", 64),
    ("POST", "/webhooks/stripe", 2011),
    ("GET", "/search?q=walnut+desk", 0),
]
CLIENTS = ["192.0.2.41", "198.51.100.7", "2001:db8:85a3::8a2e:370:7334", "203.0.113.200"]


def send(stack: Stack, chance: random.Random) -> None:
    for method, target, size in SENT * 2:
        head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {chance.choice(CLIENTS)}\r\n"
        ask(stack.url, head.encode() + b"Content-Length: %d\r\n\r\n" % size + chance.randbytes(size))
        time.sleep(chance.uniform(0.02, 0.4))


def main(folder: Path) -> None:
    stack = Stack()
    try:
        stack.port = 8080  # the default, since the page shows it
        stack.environment |= {"GATEBOOK_PORT": "8080", "GATEBOOK_TRUSTED_PROXIES": "127.0.0.1"}
        stack.up("--scale", 3)
        send(stack, random.Random(1))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
            page.goto("http://localhost:8080")
            page.get_by_role("status").get_by_text("Live").wait_for()
            folder.mkdir(exist_ok=True)
            page.screenshot(path=folder / "page.png", animations="disabled")
            browser.close()
    finally:
        stack.remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs")
