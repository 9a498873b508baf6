"""Which pages may open a socket here."""

from __future__ import annotations

from typing import Any
from urllib.parse import ParseResult

from channels.security.websocket import OriginValidator, WebsocketDenier
from django.conf import settings

__all__ = ["SameOriginValidator"]


class SameOriginValidator(OriginValidator):
    """Refuses the handshake unless the page is of this very server, host *and* port, or of a trusted origin.

    Cookies ignore ports, so a page of another server on the same host would otherwise come in signed in.
    """

    def __init__(self, application: Any) -> None:
        super().__init__(application, settings.ALLOWED_HOSTS)
        self.trusted = frozenset(settings.CSRF_TRUSTED_ORIGINS)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        origin = headers.get(b"origin", b"").decode("latin1").lower()
        host = headers.get(b"host", b"").decode("latin1").lower()
        if origin in self.trusted or not host or origin.partition("://")[2] == host:
            await super().__call__(scope, receive, send)  # which holds the origin's host to ALLOWED_HOSTS
        else:
            await WebsocketDenier()(scope, receive, send)

    def validate_origin(self, parsed_origin: ParseResult) -> bool:
        if f"{parsed_origin.scheme}://{parsed_origin.netloc}".lower() in self.trusted:
            return True
        return bool(super().validate_origin(parsed_origin))
