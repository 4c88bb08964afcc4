"""The step between a good password (or another way in) and being signed in."""

from __future__ import annotations

from allauth.account.internal.stagekit import stash_login
from allauth.mfa.internal.flows import trust
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.webauthn.internal.flows import did_use_passwordless_login
from django.http import HttpRequest, HttpResponse

from accounts.code_channels import CodeNotSent
from accounts.services import factors, sent_codes


class SecondFactorStage(AuthenticateStage):  # type: ignore[misc]  # allauth has no types
    """A code or a passkey; left out for a passkey that stood for both factors, and in a browser that was trusted."""

    def _should_handle(self, request: HttpRequest) -> bool:
        user = self.login.user
        if user is None or not factors.needs_second_factor(user) or did_use_passwordless_login(request, user):
            return False
        return user.is_staff or not trust.is_trusted_browser(request, user)  # operators show it each time

    def handle(self) -> tuple[HttpResponse | None, bool]:
        """Lead to the page, with a code on its way to those who have nothing else."""
        response, goes_on = super().handle()
        if response is not None and factors.ways(self.login.user).only_code:
            self.send_code()
        return response, goes_on

    @property
    def challenge(self) -> str:
        """The challenge of the code that was sent for this sign-in, "" if none was."""
        return str(self.state.get("challenge", ""))

    def send_code(self) -> None:
        """Send a code, which takes the place of an earlier one; why that did not work is kept for the page to say."""
        self.state.pop("not_sent", None)
        try:
            challenge = sent_codes.send_code(user=self.login.user)
        except sent_codes.TooSoon as error:
            self.state["not_sent"] = f"A code was sent a moment ago. Ask for a new one in {error.wait_s} s."
        except CodeNotSent as error:
            self.state["not_sent"] = str(error)
        else:
            sent_codes.forget_code(user=self.login.user, challenge=self.challenge)
            self.state["challenge"] = challenge
        stash_login(self.request, self.login)

    def take_word(self) -> str:
        """Return why no code was sent, once."""
        word = str(self.state.pop("not_sent", ""))
        if word:
            stash_login(self.request, self.login)
        return word
