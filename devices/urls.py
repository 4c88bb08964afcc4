"""The addresses of the registry's pages."""

from django.urls import path

import devices.converters  # noqa: F401  # makes <device:…> known
from devices.views import certificates, claims, files, jobs, profile_apis, profiles, registry, secrets

app_name = "devices"

_DEVICE = "<device:device_id>/"
_JOB = "jobs/<device:job_id>/"
_CERTIFICATE = f"{_DEVICE}certificates/<uuid:certificate_id>/"
_PROFILE = "profiles/<slug:key>/"

urlpatterns = [
    path("", registry.device_list, name="list"),
    path("register/", registry.register, name="register"),
    path("claim/", claims.claim_device, name="claim"),
    path("register/many/", jobs.register_many, name="register_many"),
    path(_JOB, jobs.job, name="job"),
    path(f"{_JOB}cancel/", jobs.cancel_job, name="cancel_job"),
    path(f"{_JOB}result/", jobs.job_result, name="job_result"),
    path(f"{_JOB}archive/", jobs.job_archive, name="job_archive"),
    path(f"{_JOB}claim-codes/", claims.job_claim_codes, name="job_claim_codes"),
    path(f"{_DEVICE}claim-code/", claims.claim_code, name="claim_code"),
    path(f"{_DEVICE}claim-code/withdraw/", claims.withdraw_claim_code, name="withdraw_claim_code"),
    path("certificates/", certificates.forecast, name="forecast"),
    path("profiles/", profiles.profile_list, name="profiles"),
    path("profiles/new/", profiles.make, name="new_profile"),
    path(_PROFILE, profiles.profile, name="profile"),
    path(f"{_PROFILE}profile.json", profiles.profile_file, name="profile_file"),
    path(f"{_PROFILE}edit/", profiles.edit, name="edit_profile"),
    path(f"{_PROFILE}apis/new/", profile_apis.add_api, name="add_api"),
    path(f"{_PROFILE}apis/<slug:api>/edit/", profile_apis.edit_api, name="edit_api"),
    path(f"{_PROFILE}apis/<slug:api>/remove/", profile_apis.remove_api, name="remove_api"),
    path(f"{_PROFILE}delete/", profiles.delete, name="delete_profile"),
    path(_DEVICE, registry.detail, name="detail"),
    path(f"{_DEVICE}registered/", registry.registered, name="registered"),
    path(f"{_DEVICE}name/", registry.rename, name="rename"),
    path(f"{_DEVICE}kind/", registry.change_profile, name="change_profile"),
    path(f"{_DEVICE}delete/", registry.delete, name="delete"),
    path(f"{_DEVICE}renew/", certificates.renew, name="renew"),
    path(_CERTIFICATE, certificates.certificate, name="certificate"),
    path(f"{_CERTIFICATE}revoke/", certificates.revoke, name="revoke"),
    path(f"{_CERTIFICATE}rescue/", certificates.rescue, name="rescue"),
    path(f"{_DEVICE}password/", secrets.secret, name="secret"),
    path(f"{_DEVICE}password/revoke/", secrets.revoke_secret, name="revoke_secret"),
    path(f"{_DEVICE}key/forget/", files.forget_key, name="forget_key"),
    path(f"{_DEVICE}files/<str:name>", files.device_file, name="file"),
    path(f"{_DEVICE}pkcs12/", files.pkcs12_file, name="pkcs12"),
]
