"""What every request passes through: content security policy, static files, the need to sign in."""

from __future__ import annotations

from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware

from webapp.errors import wants_json
from webapp.people import seen

__all__ = ["ContentSecurityPolicyMiddleware", "SignInRequiredMiddleware", "StaticFilesMiddleware"]


def basemap_source(url: str) -> str:
    """The base map's origin as a CSP source; ``{s}`` in front of a host becomes its wildcard."""
    parts = urlsplit(url.replace("{s}", "*"))
    origin = f"{parts.scheme}://{parts.netloc}"
    # CSP allows one wildcard, as the whole first label.
    usable = "*" not in parts.netloc.removeprefix("*.") and "{" not in origin
    return origin if usable else f"{parts.scheme}:"


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Only our own scripts and styles run, none of them inline; pictures may also come from the base map."""

    def __init__(self, get_response) -> None:
        super().__init__(get_response)
        images = "'self' data: blob:" + (
            f" {basemap_source(settings.BASEMAP_URL)}" if settings.BASEMAP_URL else ""
        )
        self.policy = (
            f"default-src 'self'; img-src {images}; connect-src 'self'; style-src 'self'; "
            "script-src 'self'; "
            "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
            "form-action 'self'; frame-ancestors 'none'"
        )

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", self.policy)
        response.headers.setdefault("Permissions-Policy", "camera=(), microphone=(), payment=(), usb=()")
        return response


class SignInRequiredMiddleware(LoginRequiredMiddleware):
    """Every view needs a signed-in user; programs get a 401 with a sentence, people the sign-in page."""

    def process_view(self, request: HttpRequest, view_func, view_args, view_kwargs) -> HttpResponse | None:
        refused = super().process_view(request, view_func, view_args, view_kwargs)
        # Views that need no sign-in are not worth the look at who it is.
        if refused is None and getattr(view_func, "login_required", True):
            seen.note(request.user.pk)
        return refused

    def handle_no_permission(self, request: HttpRequest, view_func) -> HttpResponse:
        if wants_json(request):
            return JsonResponse({"detail": "Please sign in first."}, status=401)
        return super().handle_no_permission(request, view_func)


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise made async: as a sync middleware it would hold a thread during every request."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest):
        if iscoroutinefunction(self):
            return self._respond(request)
        response = self._static_response(request)
        return response if response is not None else self.get_response(request)

    async def _respond(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(self.static_prefix):
            response = await sync_to_async(self._static_response, thread_sensitive=False)(request)
            if response is not None:
                return response
        return await self.get_response(request)

    def _static_response(self, request: HttpRequest) -> HttpResponse | None:
        path = request.path_info
        static_file = self.find_file(path) if self.autorefresh else self.files.get(path)
        if static_file is None:
            return None
        found = static_file.get_response(request.method, request.META)
        # Read whole: the largest is a few hundred kilobytes, and a file iterator blocks the event loop.
        body = b""
        if found.file is not None:
            with found.file:
                body = found.file.read()
        response = HttpResponse(body, status=int(found.status))
        del response["Content-Type"]
        for name, value in found.headers:
            response[name] = value
        return response
