"""Accounts, members and invitations in the API, over the same services as the pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.access import Action, access_membership, role_may
from accounts.api import organisation_shapes as shapes
from accounts.api.authentication import user_of
from accounts.api.permissions import reaches
from accounts.models import Invitation, Membership, User
from accounts.selectors import members_of, memberships_of
from iotportal.openapi import problems
from iotportal.pagination import page_body
from iotportal.problems import Problem, invalid
from iotportal.queries import StrictQuery

_HEX = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
ACCOUNT_ID = OpenApiParameter("account_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
USER_ID = OpenApiParameter("user_id", _HEX, OpenApiParameter.PATH, description="32 hex digits, as the members list has them.")
INVITATION_ID = OpenApiParameter("invitation_id", _HEX, OpenApiParameter.PATH, description="32 hex digits.")
NAME = OpenApiParameter("name", str, required=True, description="Its name, to confirm that it is this one you mean to delete.")

_CODES: dict[type[services.OrganisationError], tuple[int, str]] = {
    services.NotAnOrganisation: (409, "personal_account"),
    services.LastOwner: (409, "last_owner"),
    services.AlreadyMember: (409, "already_member"),
    services.AlreadyInvited: (409, "already_invited"),
    services.TooManyMembers: (409, "too_many_members"),
    services.TooManyOrganisations: (409, "too_many_organisations"),
    services.RoleTooLow: (403, "forbidden"),
}


@contextmanager
def as_problems() -> Iterator[None]:
    """Say what a service refuses as the API says errors.

    Raises:
        Problem: the service refused.
    """
    try:
        yield
    except (services.InvalidName, services.WrongName) as error:
        raise invalid({"name": [str(error)]}) from error
    except services.TooManyInvitations as error:
        raise Problem(429, "throttled", str(error), retry_after_s=error.wait_s) from error
    except services.OrganisationError as error:
        problem_status, code = _CODES.get(type(error), (404, "not_found"))  # the rest is about what is not there
        raise Problem(problem_status, code, str(error)) from error


def _id(text: str, what: str) -> UUID:
    """Return the id that a path names. Raises Problem 404."""
    try:
        if len(text) in {32, 36}:
            return UUID(hex=text)
    except ValueError:
        pass
    raise Problem(404, "not_found", f"No such {what}.")


class _View(StrictQuery):
    """What the views here share. `actions`: what each method needs of a token, where that is not the usual."""

    actions: dict[str, Action] = {}  # noqa: RUF012  # constants of the subclasses

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Set what the method needs before the permissions ask."""
        self.required_action = self.actions.get(str(request.method))
        super().initial(request, *args, **kwargs)

    @property
    def user(self) -> User:
        """Who asks."""
        return user_of(self.request)

    @property
    def as_owner(self) -> bool:
        """Whether the caller may use an owner's rights: a personal token may not."""
        return reaches(self.request, Action.OWN)

    def membership(self, account_id: str, action: Action = Action.READ) -> Membership:
        """Return the caller's membership, if it allows `action`."""
        return access_membership(self.user, _id(account_id, "account"), action)

    def member(self, mine: Membership, user_id: str) -> User:
        """Return a member of the account. Raises Problem 404."""
        found = mine.account.memberships.select_related("user").filter(user__uuid=_id(user_id, "member")).first()
        if found is None:
            raise Problem(404, "not_found", "There is no such member.")
        return found.user

    def invitation(self, mine: Membership, invitation_id: str) -> Invitation:
        """Return an invitation into the account. Raises Problem 404."""
        found = mine.account.invitations.filter(pk=_id(invitation_id, "invitation")).first()
        if found is None:
            raise Problem(404, "not_found", "There is no such invitation.")
        return found


class AccountListView(_View):
    """Your accounts."""

    name = "Accounts"

    @extend_schema(
        operation_id="accounts_list",
        summary="List accounts",
        tags=["accounts"],
        responses={200: shapes.OwningAccountPageSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return the accounts of which you are a member, with your role in each."""
        return Response(page_body(request, shapes.OwningAccountSerializer(memberships_of(self.user), many=True).data))

    @extend_schema(
        operation_id="accounts_create",
        summary="Make an organisation",
        tags=["accounts"],
        request=shapes.OrganisationRequestSerializer,
        responses={201: shapes.OwningAccountSerializer, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """Make an organisation that you own."""
        form = shapes.OrganisationRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        with as_problems():
            account = services.create_organisation(user=self.user, name=form.validated_data["name"])
        mine = access_membership(self.user, account.pk)
        return Response(shapes.OwningAccountSerializer(mine).data, status=status.HTTP_201_CREATED)


class AccountView(_View):
    """One account."""

    name = "One account"
    actions = {"DELETE": Action.OWN}  # noqa: RUF012
    query = ("name",)

    @extend_schema(
        operation_id="accounts_read",
        summary="Read an account",
        tags=["accounts"],
        parameters=[ACCOUNT_ID],
        responses={200: shapes.OwningAccountSerializer},
    )
    def get(self, request: Request, account_id: str) -> Response:
        """Return the account with your role in it."""
        return Response(shapes.OwningAccountSerializer(self.membership(account_id)).data)

    @extend_schema(
        operation_id="accounts_rename",
        summary="Change an organisation",
        tags=["accounts"],
        parameters=[ACCOUNT_ID],
        request=shapes.OrganisationChangesSerializer,
        responses={200: shapes.OwningAccountSerializer, **problems(409)},
    )
    def patch(self, request: Request, account_id: str) -> Response:
        """Give the organisation another name or time zone; takes an admin. What is left out stays."""
        mine = self.membership(account_id, Action.MANAGE)
        form = shapes.OrganisationChangesSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        changes = form.validated_data
        with as_problems(), transaction.atomic():
            if "name" in changes:
                services.rename_organisation(account=mine.account, by=self.user, name=changes["name"])
            if "time_zone" in changes:
                services.set_time_zone(account=mine.account, by=self.user, time_zone=changes["time_zone"])
        return Response(shapes.OwningAccountSerializer(self.membership(account_id)).data)

    @extend_schema(
        operation_id="accounts_delete",
        summary="Delete an organisation",
        tags=["accounts"],
        parameters=[ACCOUNT_ID, NAME],
        responses={204: OpenApiResponse(description="Deleted: its devices are revoked and cut."), **problems(400, 409)},
    )
    def delete(self, request: Request, account_id: str) -> Response:
        """Delete the organisation for all members; takes an owner who signed in: no personal token reaches that far."""
        mine = self.membership(account_id, Action.OWN)
        typed = request.query_params.get("name", "")
        with as_problems():
            services.delete_organisation(account=mine.account, by=self.user, name=typed, as_owner=self.as_owner)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MemberListView(_View):
    """Who is in an account."""

    name = "Members"

    @extend_schema(
        operation_id="members_list",
        summary="List members",
        tags=["accounts"],
        parameters=[ACCOUNT_ID],
        responses={200: shapes.MemberPageSerializer},
    )
    def get(self, request: Request, account_id: str) -> Response:
        """Return the members; their addresses are for those who manage the account."""
        mine = self.membership(account_id)
        emails = role_may(mine.role, Action.MANAGE) and reaches(request, Action.MANAGE)
        found = shapes.MemberSerializer(members_of(mine.account), many=True, context={"emails": emails})
        return Response(page_body(request, found.data))


class MemberView(_View):
    """One member."""

    name = "Member"

    @extend_schema(
        operation_id="members_change",
        summary="Change a member's role",
        tags=["accounts"],
        parameters=[ACCOUNT_ID, USER_ID],
        request=shapes.RoleRequestSerializer,
        responses={200: shapes.MemberSerializer, **problems(409)},
    )
    def patch(self, request: Request, account_id: str, user_id: str) -> Response:
        """Give a member another role; takes an admin, and for owners an owner who signed in. It bites at once."""
        mine = self.membership(account_id, Action.MANAGE)
        member = self.member(mine, user_id)
        form = shapes.RoleRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        role = form.validated_data["role"]
        with as_problems():
            changed = services.change_role(account=mine.account, by=self.user, user=member, role=role, as_owner=self.as_owner)
        return Response(shapes.MemberSerializer(changed, context={"emails": True}).data)

    @extend_schema(
        operation_id="members_remove",
        summary="Remove a member, or leave",
        tags=["accounts"],
        parameters=[ACCOUNT_ID, USER_ID],
        responses={204: OpenApiResponse(description="No member any more."), **problems(409)},
    )
    def delete(self, request: Request, account_id: str, user_id: str) -> Response:
        """Take a member out, or leave with your own id. It bites at once: open pages end, commands are refused."""
        mine = self.membership(account_id)
        member = self.member(mine, user_id)
        with as_problems():
            services.remove_member(account=mine.account, by=self.user, user=member, as_owner=self.as_owner)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationListView(_View):
    """Who is invited into an organisation."""

    name = "Invitations"
    actions = {"GET": Action.MANAGE}  # noqa: RUF012

    @extend_schema(
        operation_id="invitations_list",
        summary="List invitations",
        tags=["accounts"],
        parameters=[ACCOUNT_ID],
        responses={200: shapes.InvitationPageSerializer},
    )
    def get(self, request: Request, account_id: str) -> Response:
        """Return the invitations that were not taken yet, those that ended lately among them; takes an admin."""
        mine = self.membership(account_id, Action.MANAGE)
        found = mine.account.invitations.select_related("invited_by")
        return Response(page_body(request, shapes.InvitationSerializer(found, many=True).data))

    @extend_schema(
        operation_id="invitations_create",
        summary="Invite somebody",
        tags=["accounts"],
        parameters=[ACCOUNT_ID],
        request=shapes.InvitationRequestSerializer,
        responses={201: shapes.InvitationSerializer, **problems(409)},
    )
    def post(self, request: Request, account_id: str) -> Response:
        """Send an address an invitation; takes an admin. Its link works for 7 days, for the owner of the address alone."""
        mine = self.membership(account_id, Action.MANAGE)
        form = shapes.InvitationRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        with as_problems():
            made = services.invite(account=mine.account, by=self.user, as_owner=self.as_owner, **form.validated_data)
        return Response(shapes.InvitationSerializer(made).data, status=status.HTTP_201_CREATED)


class InvitationView(_View):
    """One invitation into an organisation."""

    name = "Invitation"

    @extend_schema(
        operation_id="invitations_withdraw",
        summary="Withdraw an invitation",
        tags=["accounts"],
        parameters=[ACCOUNT_ID, INVITATION_ID],
        responses={204: OpenApiResponse(description="Withdrawn.")},
    )
    def delete(self, request: Request, account_id: str, invitation_id: str) -> Response:
        """End an invitation before it was taken; takes an admin."""
        mine = self.membership(account_id, Action.MANAGE)
        invitation = self.invitation(mine, invitation_id)
        with as_problems():
            services.withdraw_invitation(invitation=invitation, by=self.user, as_owner=self.as_owner)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ResendView(_View):
    """An invitation's mail."""

    name = "Send again"

    @extend_schema(
        operation_id="invitations_resend",
        summary="Send an invitation again",
        tags=["accounts"],
        parameters=[ACCOUNT_ID, INVITATION_ID],
        request=None,
        responses={200: shapes.InvitationSerializer},
    )
    def post(self, request: Request, account_id: str, invitation_id: str) -> Response:
        """Send a new link, which ends the old one and works for 7 days; takes an admin."""
        mine = self.membership(account_id, Action.MANAGE)
        invitation = self.invitation(mine, invitation_id)
        with as_problems():
            sent = services.resend_invitation(invitation=invitation, by=self.user, as_owner=self.as_owner)
        return Response(shapes.InvitationSerializer(sent).data)


class ReceivedListView(_View):
    """What you are invited to."""

    name = "Your invitations"

    @extend_schema(
        operation_id="received_invitations_list",
        summary="List your invitations",
        tags=["accounts"],
        responses={200: shapes.ReceivedInvitationPageSerializer},
    )
    def get(self, request: Request) -> Response:
        """Return the open invitations to addresses that you have confirmed as yours."""
        found = shapes.ReceivedInvitationSerializer(services.invitations_to(self.user), many=True)
        return Response(page_body(request, found.data))


class _ReceivedView(_View):
    def received(self, invitation_id: str) -> Invitation:
        """Return an invitation to the caller; to anybody else it is not there. Raises Problem 404."""
        found = Invitation.objects.filter(pk=_id(invitation_id, "invitation")).first()
        if found is None or not services.is_invited(found, self.user):
            raise Problem(404, "not_found", "There is no such invitation.")
        return found


class ReceivedView(_ReceivedView):
    """One invitation to you."""

    name = "Your invitation"

    @extend_schema(
        operation_id="received_invitations_decline",
        summary="Decline an invitation",
        tags=["accounts"],
        parameters=[INVITATION_ID],
        responses={204: OpenApiResponse(description="Declined.")},
    )
    def delete(self, request: Request, invitation_id: str) -> Response:
        """Turn an invitation down."""
        with as_problems():
            services.decline_invitation(invitation=self.received(invitation_id), user=self.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class AcceptView(_ReceivedView):
    """Taking an invitation."""

    name = "Accept"

    @extend_schema(
        operation_id="received_invitations_accept",
        summary="Accept an invitation",
        tags=["accounts"],
        parameters=[INVITATION_ID],
        request=None,
        responses={200: shapes.OwningAccountSerializer, **problems(409)},
    )
    def post(self, request: Request, invitation_id: str) -> Response:
        """Become a member; the address of the invitation must be one that you have confirmed."""
        with as_problems():
            mine = services.accept_invitation(invitation=self.received(invitation_id), user=self.user)
        return Response(shapes.OwningAccountSerializer(mine).data)
