"""Every write of the registry that has a consequence."""

from devices.downloads import DeviceFiles, KeyUnavailable, device_files, device_zip
from devices.profiles import UnknownProfile
from devices.services.certificates import Registered, forget_key, note_use, renew_certificate, renew_several
from devices.services.claims import claim_device, make_claim_codes, withdraw_claim_code
from devices.services.errors import (
    ClaimRefused,
    CsrRefused,
    DeviceGone,
    InvalidName,
    InvalidPin,
    InvalidProfile,
    JobUnderWay,
    KeyInUse,
    NameTaken,
    NotExpired,
    ProfileChanged,
    ProfileGone,
    ProfileInUse,
    SecretsForbidden,
    SlugTaken,
    TooManyProfiles,
    UnknownKeyAlgorithm,
    UnknownReason,
)
from devices.services.expiry import warn_of_expiry
from devices.services.jobs import begin_job, cancel_job, continue_jobs, forget_jobs, work_on
from devices.services.profiles import delete_profile, document_of, make_profile, save_profile
from devices.services.registration import (
    change_profile,
    delete_device,
    name_pin,
    register_device,
    rename_device,
)
from devices.services.revocation import end_overlaps, note_expired, note_shared, rescue_certificate, revoke_certificate
from devices.services.revocation_lists import publish_lists, publish_soon, retire_authorities
from devices.services.secrets import issue_secret, note_secret_use, revoke_secret, secret_hash

__all__ = [
    "ClaimRefused", "CsrRefused", "DeviceFiles", "DeviceGone", "InvalidName", "InvalidPin", "InvalidProfile", "JobUnderWay",
    "KeyInUse", "KeyUnavailable", "NameTaken", "NotExpired", "ProfileChanged", "ProfileGone", "ProfileInUse", "Registered",
    "SecretsForbidden", "SlugTaken", "TooManyProfiles", "UnknownKeyAlgorithm", "UnknownProfile", "UnknownReason", "begin_job",
    "cancel_job", "change_profile", "claim_device", "continue_jobs", "delete_device", "delete_profile", "device_files",
    "device_zip", "document_of", "end_overlaps", "forget_jobs", "forget_key", "issue_secret", "make_claim_codes",
    "make_profile", "name_pin", "note_expired", "note_secret_use", "note_shared", "note_use", "publish_lists", "publish_soon",
    "register_device", "rename_device", "renew_certificate", "renew_several", "rescue_certificate", "retire_authorities",
    "revoke_certificate", "revoke_secret", "save_profile", "secret_hash", "warn_of_expiry", "withdraw_claim_code", "work_on",
]  # fmt: skip
