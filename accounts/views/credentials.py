"""Password and e-mail, changed by who is signed in and has just confirmed that it is them; on allauth's views."""

from __future__ import annotations

from typing import Any

from allauth.account import views as allauth_views
from allauth.account.internal import flows
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.decorators import rate_limit
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views.generic.edit import FormView

from accounts import known_browsers
from accounts.http import AREA, recent_sign_in
from accounts.profile_forms import EmailForm, PasswordForm
from accounts.views.door import BadRequestMixin


@method_decorator([recent_sign_in, rate_limit(action="change_password")], name="dispatch")
class ChangePasswordView(BadRequestMixin, allauth_views.PasswordSetView):  # type: ignore[misc]  # allauth has no types
    """A new password; also the first, of who has signed in through others alone so far."""

    form_class = PasswordForm
    template_name = "accounts/password.html"
    extra_context = AREA

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Let those in who have a password; allauth has a view of its own for them."""
        return FormView.dispatch(self, request, *args, **kwargs)

    def get_form_class(self) -> type[PasswordForm]:
        """Use ours."""
        return PasswordForm

    def form_valid(self, form: PasswordForm) -> HttpResponse:
        """Set it; all sessions but this one end, and all API tokens."""
        form.save()
        flows.password_change.finalize_password_change(self.request, form.user)
        messages.success(self.request, "The password is changed. All other sessions and all API tokens ended.")
        response = redirect("accounts:account")
        known_browsers.remember(self.request, response, form.user)
        return response


@method_decorator([recent_sign_in, rate_limit(action="manage_email")], name="dispatch")
class ChangeEmailView(BadRequestMixin, FormView):  # type: ignore[type-arg]  # FormView has no parameter at run time
    """A new address; the old one stays until the code that goes to the new one was typed."""

    form_class = EmailForm
    template_name = "accounts/email.html"
    extra_context = AREA

    def get_form_kwargs(self) -> dict[str, Any]:
        """Say whose it is to be."""
        return {**super().get_form_kwargs(), "user": self.request.user}

    def form_valid(self, form: EmailForm) -> HttpResponse:
        """Send the code, also to an address that is taken: who asks learns nothing, and its owner has the code."""
        flows.manage_email.sync_user_email_address(self.request.user)  # the old one is to be told, whoever made the user
        try:
            flows.manage_email.add_email(self.request, form)
        except ImmediateHttpResponse as error:
            return error.response  # type: ignore[no-any-return]  # allauth has no types
        return redirect("account_email_verification_sent")
