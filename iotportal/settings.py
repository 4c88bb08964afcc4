"""Settings of the portal, read from the environment alone (see docs/configuration.md)."""

import ssl
from pathlib import Path

from django.conf.locale import LANG_INFO
from django.core.exceptions import ImproperlyConfigured

from iotportal import env, login_providers, logs, schedule, senders

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(env.text("PORTAL_STATE_DIR", str(BASE_DIR / "var")))

# --- the process ---------------------------------------------------------------------------------------------------------
DEBUG = env.boolean("PORTAL_DEBUG", default=False)
SECRET_KEY = env.secret("PORTAL_SECRET_KEY")
PORTAL_URL = env.text("PORTAL_URL", "http://localhost:8000").rstrip("/")
ALLOWED_HOSTS = env.words("PORTAL_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("PORTAL_TRUSTED_ORIGINS", PORTAL_URL)
HTTPS = PORTAL_URL.startswith("https://")

ROOT_URLCONF = "iotportal.urls"
ASGI_APPLICATION = "iotportal.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "accounts.admin_config.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.amazon",
    "allauth.socialaccount.providers.apple",
    "allauth.socialaccount.providers.facebook",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.headless",
    "django_htmx",
    "accounts",
    "billing",
    "devices",
    "messaging",
    "notifications",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.say_when_again",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.note_session_use",
    "accounts.middleware.ask_who_leaves",
    "iotportal.middleware.user_time_zone",
    "iotportal.middleware.user_language",
    "iotportal.middleware.not_stored",
    "messaging.live.timed",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "iotportal.context.portal",
            ],
            "libraries": {"ui": "iotportal.templatetags.ui"},
            "builtins": ["iotportal.templatetags.addresses"],
        },
    },
]

# --- data ----------------------------------------------------------------------------------------------------------------
# Each request gives its connection back: under ASGI it has a thread of its own, which would take it along unused.
DATABASES = {
    "default": {
        **env.database(),
        "CONN_MAX_AGE": 0,
        "POOL": env.integer("PORTAL_DATABASE_POOL", 8, minimum=0, maximum=1000),
    }
}
VALKEY_URL = env.secret("VALKEY_URL")
CACHES = {  # version 2: what an older portal left there was no JSON
    "default": {"BACKEND": "iotportal.cache.SharedCache", "LOCATION": VALKEY_URL, "KEY_PREFIX": "cache", "VERSION": 2}
}
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [VALKEY_URL]}}}

# --- Celery --------------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = env.secret("CELERY_BROKER_URL", VALKEY_URL)
if CELERY_BROKER_URL.startswith("rediss:"):  # by itself Celery would believe any certificate
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # what one process has no thread for is another's
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(STATE_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = schedule.for_beat()
BRIDGE = env.boolean("PORTAL_BRIDGE", default=False)  # this Celery worker runs the bridge

# --- people --------------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.auth_backend.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "accounts.passwords.ContextWordsValidator"},
    {"NAME": "accounts.passwords.BreachedPasswordsValidator"},
]
BREACHED_PASSWORDS = env.text("PORTAL_BREACHED_PASSWORDS", "")  # a file of SHA-1 sums in order, see accounts/passwords.py
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "devices:list"
LOGOUT_REDIRECT_URL = "account_login"
DELETE_DAYS = env.integer("PORTAL_DELETE_DAYS", 7, minimum=1, maximum=90)  # from "Delete account" to the deletion
SESSION_COOKIE_AGE = env.integer("PORTAL_SESSION_HOURS", 12, minimum=1, maximum=720) * 3600  # without "Keep me signed in", unused
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
ACCOUNT_SESSION_COOKIE_AGE = env.integer("PORTAL_SESSION_DAYS", 14, minimum=1, maximum=365) * 86_400  # with it
ACCOUNT_REAUTHENTICATION_TIMEOUT = env.integer("PORTAL_CONFIRM_MINUTES", 5, minimum=1, maximum=1440) * 60
USERSESSIONS_ADAPTER = "accounts.adapter.UserSessionsAdapter"
CODE_MINUTES = 10  # how long a code from a mail works
CODE_TRIES = 5
CODE_RESEND_S = 30  # the shortest time between two mails with codes to one address
API_TOKENS_PER_USER = 50
ORGANISATIONS_PER_USER = 20  # that one user owns
MEMBERS_PER_ORGANISATION = 200  # invitations counted in
LOGIN_ACCESS_MINUTES = env.integer("PORTAL_LOGIN_MINUTES", 60, minimum=1, maximum=1440)  # an access token of the API's sign-in
LOGIN_DAYS = env.integer("PORTAL_LOGIN_DAYS", 30, minimum=1, maximum=365)  # until when it can be renewed, from the last time on
LOGINS_PER_USER = 100
ALLAUTH_USER_CODE_FORMAT = {"numeric": True, "length": 6, "dashed": False}
ALLAUTH_TRUSTED_PROXY_COUNT = int(env.boolean("PORTAL_BEHIND_PROXY", default=False))  # whose word on a caller's address counts
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
HEADLESS_CLIENTS = ["app"]  # the same flows as JSON, for programs; browsers have the pages
HEADLESS_ADAPTER = "accounts.headless.HeadlessAdapter"
HEADLESS_TOKEN_STRATEGY = "accounts.headless.TokenStrategy"
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "signup": "accounts.forms.SignUpForm",
    "confirm_email_verification_code": "accounts.forms.ConfirmEmailForm",
    "reset_password": "accounts.forms.RecoverForm",
    "confirm_password_reset_code": "accounts.forms.RecoverCodeForm",
    "reset_password_from_key": "accounts.forms.NewPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FORM_CLASS = "accounts.sign_up.NamesForm"
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_USERNAME_BLACKLIST = ["admin", "administrator", "portal", "root", "support", "system"]
ACCOUNT_USERNAME_MIN_LENGTH = 3
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = CODE_MINUTES * 60
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_MAX_ATTEMPTS = ACCOUNT_PASSWORD_RESET_BY_CODE_MAX_ATTEMPTS = CODE_TRIES
ACCOUNT_PHONE_VERIFICATION_TIMEOUT, ACCOUNT_PHONE_VERIFICATION_MAX_ATTEMPTS = CODE_MINUTES * 60, CODE_TRIES
ACCOUNT_CHANGE_EMAIL = True  # one address each; a new one takes the place of the old one once it is confirmed
ACCOUNT_EMAIL_CONFIRMATION_AUTHENTICATED_REDIRECT_URL = "/account/"
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = 5  # codes after the first one, in one go
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_LOGIN_TIMEOUT = 3600  # a sign-in half done; longer than all codes of one go
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True  # a mail tells the owner that the password was changed
LOGIN_PROVIDERS = login_providers.read()  # other sites that sign people in
LOGIN_UNKNOWN = login_providers.unknown()
SOCIALACCOUNT_PROVIDERS = login_providers.for_allauth(LOGIN_PROVIDERS)
SOCIALACCOUNT_ADAPTER = "accounts.social_adapter.SocialAdapter"
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_ADAPTER = "accounts.mfa_adapter.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "IoT Portal"  # what the app calls the code
MFA_TOTP_TOLERANCE = 0  # of allauth's own check; accounts.services.factors takes neighbouring codes too, and each once
MFA_RECOVERY_CODE_COUNT = MFA_RECOVERY_CODE_DIGITS = 10
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TRUST_ENABLED = True
MFA_TRUST_COOKIE_AGE = 14 * 24 * 3600
MFA_WEBAUTHN_USER_VERIFICATION = "required"  # so no challenge that was meant for a second step can stand for both
# Who may try how often to sign in, to get a mail with a code for a new password, and to type that; accounts/services/tries.py
# says whose counters these are. For "known" and "strangers" a key is a name that was typed, for "address" and "all" an address.
TRIES = {
    "sign_in": {
        "known": "5/5m/key,100/d/key",
        "strangers": "5/5m/key,50/d/key",
        "address": "10/m/key,100/h/key",
        "all": "30/m/key",
    },
    "recover": {
        "known": "5/15m/key,20/d/key",
        "strangers": "5/15m/key,20/d/key",
        "address": "20/15m/key,100/d/key",
        "all": "20/m/key",
    },
    "recover_code": {  # wrong codes, over all codes that were sent: a million to one is not much against many tries
        "known": "20/d/key",
        "strangers": "10/d/key",
        "address": "20/h/key",
        "all": "30/m/key",
    },
}
ADMIN_REQUIRES_FACTOR = env.boolean("PORTAL_ADMIN_REQUIRES_FACTOR", default=True)
ACCOUNT_RATE_LIMITS = {  # "key" is the e-mail that was typed
    "login": "",  # TRIES has them
    "login_failed": "",
    "reset_password": "",
    "signup": "20/m/ip",
    "change_password": "5/m/user,50/d/user",  # over the API the present password is typed with it, and could be guessed
    "confirm_email": f"1/{CODE_RESEND_S}s/key,10/h/key,30/d/key",
    "reset_password_from_key": "20/m/ip",
    "verify_phone": f"1/{CODE_RESEND_S}s/key,10/d/key,10/d/user",
}

# --- mail ----------------------------------------------------------------------------------------------------------------
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = env.text("PORTAL_EMAIL_HOST", "localhost")
EMAIL_PORT = env.integer("PORTAL_EMAIL_PORT", 25, minimum=1, maximum=65535)
EMAIL_HOST_USER = env.text("PORTAL_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = env.secret("PORTAL_EMAIL_PASSWORD", "")
EMAIL_USE_TLS = env.boolean("PORTAL_EMAIL_TLS", default=False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("PORTAL_EMAIL_FROM", "IoT Portal <portal@localhost>")

# --- notifications ---------------------------------------------------------------------------------------------------------
SENDERS = senders.read()  # what sends e-mail and SMS
ANYMAIL = {"REQUESTS_TIMEOUT": 10, **env.prefixed("ANYMAIL_")}  # what django-anymail is told: ANYMAIL_POSTMARK_SERVER_TOKEN …
# Origins (http://127.0.0.1:8025) to which webhooks and pushes may go though inside, or not HTTPS: iotportal/outward.py
OUTWARD_ORIGINS = frozenset(one.rstrip("/") for one in env.words("PORTAL_OUTWARD_ORIGINS", ""))
APPRISE_SCHEMAS = frozenset(env.words("PORTAL_APPRISE_SCHEMAS", ""))  # besides those of notifications/channels/apprise
PUSH_CATCHER = env.text("PORTAL_PUSH_CATCHER", "").rstrip("/")  # a push service on this machine that shows what it gets
# Of one device (and channel), of one account, and to one recipient: how many in a minute and in a day.
NOTIFICATIONS_PER_MINUTE = env.integer("PORTAL_NOTIFICATIONS_PER_MINUTE", 20, minimum=1)
NOTIFICATIONS_PER_DAY = env.integer("PORTAL_NOTIFICATIONS_PER_DAY", 1000, minimum=1)

# --- devices: identity and the broker --------------------------------------------------------------------------------------
PKI_DIR = Path(env.text("PORTAL_PKI_DIR", str(STATE_DIR / "pki")))
SEAL_KEY = env.secret("PORTAL_SEAL_KEY")  # base64 of 32 bytes: seals the device keys that the portal keeps for their owners
CERTIFICATE_DAYS = env.integer("PORTAL_CERTIFICATE_DAYS", 365, minimum=1, maximum=3650)
RENEWAL_OVERLAP_DAYS = env.integer("PORTAL_RENEWAL_OVERLAP_DAYS", 14, minimum=0, maximum=365)  # the old one beside the new one
CLAIM_CODE_DAYS = 90  # how long a code by which somebody can make a device theirs works
CLAIM_TRIES = {"user": (10, 3600), "address": (30, 3600)}  # codes that do not work, in so many seconds
DEVICE_JOB_DAYS = 7  # how long a registration of many devices, and so their archive, can be had after its end
CRL_IN_CERTIFICATES = env.boolean("PORTAL_CRL_IN_CERTIFICATES", default=False)  # certificates say where their CRL is
BROKER = env.choice("PORTAL_BROKER", ("embedded", "rabbitmq"))
AMQP_HOST = env.text("AMQP_HOST", "localhost")  # where the portal's own processes find RabbitMQ
AMQP_PORT = env.integer("AMQP_PORT", 5671, minimum=1, maximum=65535)
RABBITMQ_URL = env.text("RABBITMQ_URL", "http://127.0.0.1:15672")  # its management interface
BROKER_AUTH_PORT = env.integer("PORTAL_BROKER_AUTH_PORT", 8079, minimum=1, maximum=65535)  # of `manage.py run_broker_auth`
BROKER_AUTH_URL = env.text("PORTAL_BROKER_AUTH_URL", f"http://127.0.0.1:{BROKER_AUTH_PORT}")  # where RabbitMQ reaches it
MQTT_HOST = env.text("MQTT_HOST", "localhost")  # where the portal's own processes find the broker
MQTT_PORT = env.integer("MQTT_PORT", 8883, minimum=1, maximum=65535)
# A folder in which gateway and bridge find sockets of the embedded broker, where all three run as one user on one machine.
BROKER_SOCKETS = Path(folder) if (folder := env.text("PORTAL_BROKER_SOCKETS", "")) else None
BROKER_BIND = env.text("PORTAL_BROKER_BIND", "127.0.0.1")
DEVICE_HOST = env.text("PORTAL_DEVICE_HOST", "localhost")  # what devices are told
DEVICE_PORT = env.integer("PORTAL_DEVICE_PORT", 8883, minimum=1, maximum=65535)
AMQP_DEVICES = env.boolean("PORTAL_AMQP_DEVICES", default=False)  # docs/rabbitmq.md: only where all devices are trusted
DEVICE_PASSWORDS = env.boolean(
    "PORTAL_DEVICE_PASSWORDS", default=False
)  # devices that cannot hold a certificate may have a password
DEVICE_PASSWORD_PORT = env.integer("PORTAL_DEVICE_PASSWORD_PORT", 8884, minimum=1, maximum=65535)  # where the broker takes them
BROKER_CONNECTIONS = env.integer("PORTAL_BROKER_CONNECTIONS", 5_000, minimum=10, maximum=16_000)  # of the embedded broker
EMULATORS = env.integer("PORTAL_EMULATORS", 200, minimum=0, maximum=10_000)  # devices that the portal plays at once, one a person
EMULATOR_IDLE_MINUTES = env.integer("PORTAL_EMULATOR_IDLE_MINUTES", 30, minimum=1, maximum=7 * 24 * 60)  # then it stops
DEMO_PASSWORD = env.secret("PORTAL_DEMO_PASSWORD", "demo-portal")  # of the user that `manage.py setup_demo` makes

# --- commands and history --------------------------------------------------------------------------------------------------
COMMAND_TIMEOUT_S = env.integer("PORTAL_COMMAND_TIMEOUT", 5, minimum=1, maximum=30)
COMMAND_GRACE_S = 2.0  # how long a late answer is still expected where it could be taken for the next caller's
MAX_PAYLOAD_BYTES = env.integer("PORTAL_MAX_PAYLOAD", 16 * 1024, minimum=128, maximum=64 * 1024)
PARTITION_MONTHS_AHEAD = 2
HISTORY_MONTHS = env.integer("PORTAL_HISTORY_MONTHS", 0, minimum=0, maximum=1200)  # kept besides the current one; 0: all
PRESENCE_DAYS = env.integer("PORTAL_PRESENCE_DAYS", 30, minimum=8, maximum=3650)  # how long comings and goings are kept
EVENT_DAYS = env.integer("PORTAL_EVENT_DAYS", 400, minimum=8, maximum=3650)  # and all else in a device's timeline
FREE_MESSAGES_PER_MONTH = env.integer("PORTAL_FREE_MESSAGES", 100_000, minimum=0)
FREE_EMULATOR_HOURS_PER_MONTH = env.integer("PORTAL_FREE_EMULATOR_HOURS", 50, minimum=0, maximum=1_000_000)
LOW_BALANCE = env.integer(
    "PORTAL_LOW_BALANCE", 50, minimum=0, maximum=1_000_000
)  # credits, below which people are told; 0: never
COMMANDS_PER_MINUTE = env.integer("PORTAL_COMMANDS_PER_MINUTE", 60_000, minimum=1)  # of one user, over all devices

# --- buying credits --------------------------------------------------------------------------------------------------------
PAYMENTS = env.choice("PORTAL_PAYMENTS", ("off", "paypal_standard", "paypal_orders"))
PAYPAL_ENVIRONMENT = env.choice("PORTAL_PAYPAL_ENVIRONMENT", ("sandbox", "live"))
PAYPAL_URL = env.text("PORTAL_PAYPAL_URL", "").rstrip("/")  # of a PayPal that is neither: that of `make run`, on this machine
PAYPAL_RECEIVER = env.text("PORTAL_PAYPAL_RECEIVER", "")  # who is to be paid: PayPal's merchant id, or the primary address there
PAYPAL_CLIENT_ID = env.text("PORTAL_PAYPAL_CLIENT_ID", "")  # of an app at PayPal, for Orders v2
PAYPAL_CLIENT_SECRET = env.secret("PORTAL_PAYPAL_CLIENT_SECRET", "")
PAYPAL_PDT_TOKEN = env.secret("PORTAL_PAYPAL_PDT_TOKEN", "")  # the identity token of Payments Standard; empty: IPN alone
PAYPAL_WEBHOOK_ID = env.text("PORTAL_PAYPAL_WEBHOOK_ID", "")
NOTICE_DAYS = env.integer(
    "PORTAL_NOTICE_DAYS", 400, minimum=30, maximum=5_000
)  # how long what providers sent is kept, with names
SELLER = env.text("PORTAL_SELLER", "").replace("|", "\n")  # what receipts say of who sells: name, address, tax number

# --- the API -------------------------------------------------------------------------------------------------------------
CORS_ORIGINS = env.words("PORTAL_CORS_ORIGINS", "")  # sites whose pages may call the API with a token
REST_FRAMEWORK = {
    "NUM_PROXIES": int(env.boolean("PORTAL_BEHIND_PROXY", default=False)),  # whose word on a caller's address counts
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api.authentication.TokenAuthentication",
        "accounts.api.authentication.SignInAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated", "accounts.api.permissions.TokenScope"],
    "DEFAULT_PAGINATION_CLASS": "iotportal.pagination.CursorPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "iotportal.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "iotportal.problems.exception_handler",
    "DEFAULT_PARSER_CLASSES": ["iotportal.bodies.BoundedJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "iotportal.bodies.Negotiation",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer", "iotportal.renderers.BrowsablePages"],
    "DEFAULT_THROTTLE_CLASSES": [
        "rest_framework.throttling.AnonRateThrottle",
        "rest_framework.throttling.UserRateThrottle",
        "accounts.api.throttles.TokenRateThrottle",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "anon": env.text("PORTAL_THROTTLE_ANON", "60/min"),
        "user": env.text("PORTAL_THROTTLE_USER", "3000/min"),
        "token": env.text("PORTAL_THROTTLE_TOKEN", "1500/min"),
    },
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "IoT Portal API",
    "VERSION": "1",
    "DESCRIPTION": "Read and set the pins, clock, UART and network of your devices, in milliseconds.",
    "SERVE_INCLUDE_SCHEMA": False,
    "AUTHENTICATION_WHITELIST": [  # a session is a browser's business
        "accounts.api.authentication.TokenAuthentication",
        "accounts.api.authentication.SignInAuthentication",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "iotportal.openapi_examples.add_examples",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "AccountKindEnum": "accounts.models.Account.Kind",
        "RoleEnum": "accounts.models.Role",
        "DeviceJobStatusEnum": "devices.models.DeviceJob.Status",
        "CertificateStatusEnum": "devices.models.Certificate.Status",
        "NotificationStatusEnum": "notifications.models.Status",
    },
}

# --- security --------------------------------------------------------------------------------------------------------------
_SELF = "'self'"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "style-src": [_SELF],
        "script-src": [_SELF],
        "font-src": [_SELF],
        "img-src": [_SELF],
        "connect-src": [_SELF],
        "manifest-src": [_SELF],
        "worker-src": [_SELF],
        "form-action": [_SELF],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
_PREFIX = "__Host-" if HTTPS else ""  # then no other host, nor a page without TLS, can set the cookie
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_PREFIX}sessionid", f"{_PREFIX}csrftoken"
MFA_TRUST_COOKIE_NAME = f"{_PREFIX}mfa_trusted"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = False  # the page's script puts it into a header
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS and env.boolean("PORTAL_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = env.integer("PORTAL_HSTS_SECONDS", 31_536_000, minimum=0) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
if env.boolean("PORTAL_BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
FILE_UPLOAD_HANDLERS = [
    "iotportal.uploads.BoundedUploads",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

# --- language, time, files -------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [(code, LANG_INFO.get(code, {}).get("name_local", code)) for code in env.words("PORTAL_LANGUAGES", "en")]
NOTIFICATION_LANGUAGES = [
    (code, LANG_INFO.get(code, {}).get("name_local", code)) for code in env.words("PORTAL_NOTIFICATION_LANGUAGES", "en,de")
]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["iotportal.formats"]
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = env.boolean("PORTAL_STATIC_FINDERS", default=True)
# Where `collectstatic` puts them; an image has them beside its code, which is not to be written to.
STATIC_ROOT = None if WHITENOISE_USE_FINDERS else Path(env.text("PORTAL_STATIC_ROOT", str(STATE_DIR / "static")))

BACKUP_PASSPHRASE = env.secret("PORTAL_BACKUP_PASSPHRASE", "")  # under which `manage.py backup` writes and `restore` reads
WATCH_BIND = env.text("PORTAL_WATCH_BIND", "127.0.0.1")  # metrics and health, for those who look after the portal
WATCH_PORT = env.integer("PORTAL_WATCH_PORT", 0, minimum=0, maximum=65535)  # 0: off; each process on a host needs its own

# Where traces of commands go: a collector's OTLP over HTTP, by our name or by OpenTelemetry's own.
OTLP_ENDPOINT = env.text("PORTAL_OTLP_ENDPOINT", "")
TRACES = bool(OTLP_ENDPOINT) or any(env.text(f"OTEL_EXPORTER_OTLP_{name}ENDPOINT", "") for name in ("", "TRACES_"))
OTLP_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", "iotportal")

LOGGING = logs.configuration(
    level=env.text("PORTAL_LOG_LEVEL", "INFO"),
    json_lines=env.boolean("PORTAL_LOG_JSON", default=False),
    file=env.text("PORTAL_LOG_FILE", ""),  # each process its own: two would rotate it under one another
)

if not DEBUG and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("PORTAL_SECRET_KEY must have at least 32 characters.")
