"""What organisations refuse. The text of an error is for people."""

from __future__ import annotations

from django.conf import settings


class OrganisationError(Exception):
    """Something about an organisation that cannot be done; a subclass says why."""

    says = ""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.says.format(settings=settings)


class InvalidName(OrganisationError):
    """An organisation cannot be called that."""


class NotAnOrganisation(OrganisationError):
    """The account is somebody's personal one."""

    says = "This is a personal account: it has one member, and goes with its user."


class RoleTooLow(OrganisationError):
    """The caller's role does not reach that far."""

    says = "Your role in this organisation does not allow that."


class LastOwner(OrganisationError):
    """Nobody else owns the organisation."""

    says = "An organisation needs an owner. Make somebody else an owner first."


class NoSuchMember(OrganisationError):
    """The user is not, or no longer, a member."""

    says = "There is no such member."


class AlreadyMember(OrganisationError):
    """The user, or the owner of the address, is a member."""

    says = "Whoever has that address is a member already."


class TooManyMembers(OrganisationError):
    """Members and invitations together reach the limit."""

    says = "An organisation has at most {settings.MEMBERS_PER_ORGANISATION} members, invitations counted in."


class TooManyOrganisations(OrganisationError):
    """The user owns as many organisations as one user may own."""

    says = "You own {settings.ORGANISATIONS_PER_USER} organisations, and that is the most."


class WrongName(OrganisationError):
    """What was typed to confirm a deletion is not the organisation's name."""

    says = "That is not its name. Type it as it stands here."


class StaffStays(OrganisationError):
    """The user works for the portal."""

    says = "You work for this portal. Have that taken from you first, then delete your account."


class OnlyOwner(OrganisationError):
    """The user is the only owner of organisations."""

    says = "You are the only owner of an organisation. Make somebody else an owner, or delete it first."


class AlreadyInvited(OrganisationError):
    """There is an open invitation to that address."""

    says = "That address is invited already. Send the invitation again, or withdraw it first."


class NoSuchInvitation(OrganisationError):
    """The invitation was taken, withdrawn or is too old, or whoever gave it may not give it any more."""

    says = "This invitation is no longer open."


class NotInvited(OrganisationError):
    """The invitation is for an address that the user has not confirmed as theirs."""

    says = "This invitation is for another e-mail address."


class TooManyInvitations(OrganisationError):
    """Too many invitation mails of late; the next one may be sent in `wait_s` seconds."""

    says = "Too many invitations were sent. Wait an hour, then try again."
    wait_s = 3600
