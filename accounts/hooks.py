"""What happens in accounts and others may react to."""

from iotportal.hooks import Hook

token_revoked: Hook[str] = Hook()  # the token's hash
