"""Makes the README's pictures: `python -m tests.browser.screenshots [FOLDER]`, by default docs.

Starts a stack of its own, sends it what a small shop might get, photographs the pages and removes the stack. Port 8080
must be free.
"""

import base64
import json
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
SOME = 320
CLIENTS = ["192.0.2.41", "198.51.100.7", "2001:db8:85a3::8a2e:370:7334", "203.0.113.200"]
PAID = {
    "id": "evt_1QmZ4K",
    "type": "invoice.paid",
    "livemode": False,
    "data": {
        "customer": {"name": "Renée Köhler", "email": "renee@example.com"},
        "lines": [
            {"description": "Walnut desk", "quantity": 1, "amount": 74900},
            {"description": "Lamp", "quantity": 2, "amount": 5950},
        ],
        "total": 86800,
        "currency": "eur",
    },
}


# Name, address, theme, height, and what to click: the front page, the viewer's list, one request beside it.
PICTURES = [
    ("page", "/", "light", 800, None),
    ("list", "/_/?by=replica&filter=since%3A1m", "light", 800, None),
    ("request", "/_/?filter=path%3A/webhooks/*", "dark", 1100, "#rows tbody tr .target a >> nth=0"),
]


def send(stack: Stack, chance: random.Random) -> None:
    """What a small shop might get: visitors in waves, a fourth replica on the way, then the webhook to look at."""
    for number in range(SOME):
        if number == SOME // 2:
            stack.gatebook("scale", 4)
        method, target, size = SENT[number % len(SENT)]
        _send(stack, method, target, chance.choice(CLIENTS), chance.randbytes(size))
        time.sleep(chance.uniform(0.02, 0.1 + 0.4 * (number // 20 % 2)))
    body = json.dumps(PAID, ensure_ascii=False).encode()
    token = b".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=") for one in _TOKEN).decode()
    _send(stack, "POST", "/webhooks/stripe?attempt=1", CLIENTS[1], body, "Content-Type: application/json\r\n"
          f"X-Webhook-Event: invoice.paid\r\nAuthorization: Bearer {token}.c2lnbmF0dXJl\r\n")  # fmt: skip


_TOKEN = ({"alg": "HS256", "typ": "JWT"}, {"iss": "https://shop.example", "sub": "hooks", "exp": 1_795_500_000})


def _send(stack: Stack, method: str, target: str, client: str, body: bytes, more: str = "") -> None:
    head = f"{method} {target} HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: {client}\r\n{more}"
    ask(stack.url, head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def main(folder: Path) -> None:
    stack = Stack()
    try:
        stack.port = 8080  # the default, since the page shows it
        stack.environment |= {"GATEBOOK_PORT": "8080", "GATEBOOK_TRUSTED_PROXIES": "127.0.0.1"}
        stack.up("--scale", 3)
        send(stack, random.Random(1))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
            folder.mkdir(exist_ok=True)
            for name, path, scheme, height, ready in PICTURES:
                page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=scheme)
                page.goto(f"http://localhost:8080{path}")
                page.get_by_role("status").get_by_text("Live").wait_for()
                if ready:
                    page.locator(ready).click()
                    page.locator("#passage dd:not(:has(a))").wait_for()
                page.wait_for_load_state("networkidle") if name == "page" else page.locator(
                    ".spread, .say b"
                ).first.wait_for()
                page.screenshot(path=folder / f"{name}.png", animations="disabled")
            browser.close()
    finally:
        stack.remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs")
