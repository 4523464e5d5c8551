"""An example of each answer, by the name of its schema, for the OpenAPI document.

Here and not in the schemas, since FastAPI would leave out what is null.
"""

from typing import Any

_ID, _OLDER = "019aaf6e-3c5f-7d2a-8b1e-0242ac120002", "019aaf6e-2f1a-7c03-9d54-0242ac120003"
_RECORDED = {
    "id": _ID,
    "received_at": "2026-11-23T12:00:00.123Z",
    "replica": "webapp-2",
    "peer": "10.0.0.1",
    "client": "203.0.113.9",
    "scheme": "https",
    "http_version": "1.1",
    "method": "POST",
    "target": "/github/push?a=1",
    "headers": [["Host", "localhost:8080"], ["Content-Type", "application/json"], ["Content-Length", "20"]],
    "body_size": 20,
    "body_sha256": None,
    "truncated": False,
    "status": 200,
    "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "server_name": "gate.example"},
    "redacted": False,
}
_PAGE = {
    "requests": [_RECORDED],
    "next": f"{_OLDER}@1795435200123",
    "complete": True,
    "reached": "2026-11-23T12:00:00.123Z",
}
_COUNTS = {
    "groups": [{"start": "2026-11-23T12:00:00.000Z", "value": "webapp-2", "count": 7, "bytes": 140}],
    "others": 0,
    "next": None,
    "complete": True,
    "reached": None,
}
_PROBLEM = {
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "size>1XB: expected a size such as 1MB, at character 6",
    "hint": "/_/api/filter lists the fields and what they take",
    "position": 5,
    "expected": "a size such as 1MB",
}
_GATE = {
    "status": "warning",
    "words": "1 of 3 replicas does not answer: webapp-2.",
    "replicas": {"answering": 2, "silent": 1, "silent_names": ["webapp-2"]},
    "spool": {"rows": 0, "bytes": 0, "files": 0},
    "database": True,
    "last_audit": None,
    "oldest": "2026-10-01T00:00:00.004Z",
    "checked_at": "2026-11-23T12:00:00.123Z",
}
_PASSAGE = {
    "attempts": [
        {"upstream": "unix:/run/webapp-1.sock", "status": 502},
        {"upstream": "unix:/run/webapp-2.sock", "status": 200},
    ],
    "seconds": 0.004,
    "received_bytes": 213,
    "sent_bytes": 351,
    "status": 200,
    "durability": "committed",
    "replica": "webapp-2",
}

_TRAIL = {
    "acts": [
        {
            "id": 1043,
            "at": "2026-11-23T12:00:00.123Z",
            "act": "forgotten",
            "who": "operator",
            "client": None,
            "about": "client since",
            "requests": 12,
            "reason": "asked for by the client",
        }
    ],
    "next": None,
}

EXAMPLES: dict[str, Any] = {
    "Recorded": _RECORDED,
    "Whole": {**_RECORDED, "body": '{"ref":"refs/heads"}', "body_encoding": "utf-8"},
    "Page": _PAGE,
    "Neighbours": {"newer": None, "older": _OLDER, "complete": True},
    "Counts": _COUNTS,
    "Gate": _GATE,
    "Passage": _PASSAGE,
    "Trail": _TRAIL,
    "Problem": _PROBLEM,
}
