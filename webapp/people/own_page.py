"""/accounts/: one's own name, e-mail and password; a new password by e-mail. Django's own views and forms."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import views as auth
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webapp.accounts import PASSWORD_BACKEND
from webapp.people import members, throttle
from webapp.people.forms import AccountForm

__all__ = ["PasswordPage", "ResetConfirmPage", "ResetPage", "ResetSentPage", "account"]

MAX_RESETS, RESETS_S = 20, 3600  # of one address
SAVED = {"account": "Your account was changed.", "password": "Your password was changed."}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    # A row of its own: what was typed must not show in the header as long as it is not accepted.
    person = User.objects.get(pk=request.user.pk)
    form = AccountForm(request.POST or None, instance=person)
    if request.method == "POST" and form.is_valid():
        form.save()
        members.tell_projects_of(person)
        return HttpResponseRedirect(f"{reverse('account')}?saved=account")
    saved = "" if form.is_bound else SAVED.get(request.GET.get("saved", ""), "")
    context = {"form": form, "saved": saved, "has_password": person.has_usable_password()}
    return render(request, "accounts/account.html", context)


@method_decorator(never_cache, name="dispatch")
class PasswordPage(auth.PasswordChangeView):
    """A new password; who came by a link and has none yet is not asked for it. All other sign-ins end."""

    template_name = "accounts/password.html"

    def get_form_class(self) -> type[SetPasswordForm]:
        return PasswordChangeForm if self.request.user.has_usable_password() else SetPasswordForm

    def get_success_url(self) -> str:
        return f"{reverse('account')}?saved=password"


@method_decorator(never_cache, name="dispatch")
class ResetPage(auth.PasswordResetView):
    """A link to a new password by e-mail; where no e-mail is set up, whom to ask instead."""

    template_name = "accounts/reset.html"
    email_template_name = "accounts/reset_email.txt"
    subject_template_name = "accounts/reset_subject.txt"
    success_url = reverse_lazy("password_reset_done")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "can_send": settings.CAN_SEND_MAIL}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.CAN_SEND_MAIL:
            # Nothing is made that would only end up in the server's log.
            return self.render_to_response(self.get_context_data(), status=503)
        if not throttle.allow(f"reset:{throttle.address_of(request)}", MAX_RESETS, RESETS_S):
            message = (
                "There were too many requests for a new password from your address; try again in an hour."
            )
            context = {"status": 429, "title": "Too many attempts", "message": message}
            return render(request, "errors/error.html", context, status=429)
        return super().post(request, *args, **kwargs)


class ResetSentPage(auth.PasswordResetDoneView):
    template_name = "accounts/reset_sent.html"


class ResetConfirmPage(auth.PasswordResetConfirmView):
    """The page behind the link; who has chosen a password there is signed in."""

    template_name = "accounts/reset_confirm.html"
    success_url = reverse_lazy("projects")
    post_reset_login = True
    post_reset_login_backend = PASSWORD_BACKEND
