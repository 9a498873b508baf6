"""Forms of accounts: Django's own, with the names that are kept for the server."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from webapp.accounts import LOCAL_USER

__all__ = ["AccountForm", "NewAccountForm", "SignUpForm"]

TAKEN = "Somebody has this name already; choose another one."


def _check_name(name: str, but: int | None = None) -> str:
    """``name``, where a person may have it: it differs from all others by more than capitals."""
    if name.casefold() == LOCAL_USER:
        raise ValidationError("This name is kept for whoever starts the server; choose another one.")
    if User.objects.filter(username__iexact=name).exclude(pk=but).exists():
        raise ValidationError(TAKEN)
    return name


class SignUpForm(UserCreationForm):
    """A new account, by an invitation."""

    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "email")

    def clean_username(self) -> str:
        return _check_name(self.cleaned_data["username"])


class NewAccountForm(forms.ModelForm):
    """A new account, made by an administrator: its person signs in with a link and chooses a password then."""

    class Meta:
        model = User
        fields = ("username", "email", "is_staff")

    def clean_username(self) -> str:
        return _check_name(self.cleaned_data["username"])

    def save(self, commit: bool = True) -> User:
        self.instance.set_unusable_password()
        return super().save(commit)


class AccountForm(forms.ModelForm):
    """What people may change of their own account."""

    class Meta:
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = self.instance.username

    @property
    def keeps_name(self) -> bool:
        """`make run` finds its account by the name."""
        return self._before == LOCAL_USER

    def clean_username(self) -> str:
        name = self.cleaned_data["username"]
        if name == self._before:
            return name
        if self.keeps_name:
            raise ValidationError(f"Whoever starts the server signs in as {LOCAL_USER}; this name stays.")
        return _check_name(name, but=self.instance.pk)
