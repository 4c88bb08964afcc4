"""What happens in accounts and others may react to."""

from accounts.models import User
from iotportal.hooks import Hook

token_revoked: Hook[str] = Hook()  # the token's hash
user_deactivated: Hook[User] = Hook()  # nothing of theirs may go on: live pages, commands under way
password_changed: Hook[User] = Hook()  # all their sessions and tokens ended with the old one
