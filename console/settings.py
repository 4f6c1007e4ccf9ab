"""Settings of the console, from the environment. `docs/configuration.md` lists them; a bad value stops the start."""

import secrets
from pathlib import Path

import environ
from csp.constants import NONE, SELF

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env.str("SWITCHYARD_DATA", default=str(BASE_DIR / "data"))).absolute()
DEBUG = False
VERSION = "0.1.0"
ENVIRONMENT = env.str("SWITCHYARD_ENVIRONMENT", default="local")
ALLOWED_HOSTS = env.list("SWITCHYARD_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("SWITCHYARD_TRUSTED_ORIGINS", default=[])


def read_secret() -> str:
    """The signing key: from the environment, else a file made on first use, readable by its owner alone."""
    given = env.str("SWITCHYARD_SECRET_KEY", default="")
    if given:
        return given
    path = DATA_DIR / "secret_key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = read_secret()

LOG_FORMAT = env.str("SWITCHYARD_LOG_FORMAT", default="text")
LOG_LEVEL = env.str("SWITCHYARD_LOG_LEVEL", default="info")
LOGGING_CONFIG = "console.lib.logs.configure_django"
LOGGING = {"level": LOG_LEVEL}

INSTALLED_APPS = [
    "console.lib",
    "console.supervisor",
    "console.accounts",
    "console.registry",
    "console.fleet",
    "console.serving",
    "console.jobs",
    "console.telemetry",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "channels",
    "csp",
    "django_filters",
    "django_htmx",
    "django_tasks",
    "django_tasks_db",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "servestatic",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "console.lib.middleware.RequestId",
    "django.middleware.gzip.GZipMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.lib.middleware.HtmxLogin",
    "console.lib.middleware.DatabaseAway",
    "console.lib.throttle.RateLimitHeaders",
]

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"

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
            ],
        },
    }
]

# SQLite: IMMEDIATE takes the write lock at BEGIN, so a reader that turns writer never meets "database is locked".
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'console.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=5000;",
    }
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
else:
    POOL = {"min_size": 2, "max_size": 10, "timeout": 5, "max_lifetime": 1800}
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = POOL  # beside what the URL's query says
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
CACHES = {
    "default": {
        "BACKEND": "console.lib.cache.FallbackCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "sy:cache",
        "OPTIONS": {
            "serializer": "console.lib.cache.JsonSerializer",
            "socket_timeout": 1.0,
            "socket_connect_timeout": 0.5,
        },
    }
}
# The core layer drops idle sockets with redis-py 8; the pub/sub layer does not.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "sy:channels"},
    }
}
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default", "traffic"]}}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "console.accounts.adapter.ClosedSignup"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_SESSION_REMEMBER = None  # the form asks
ACCOUNT_REAUTHENTICATION_TIMEOUT = 900
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Switchyard"
SESSION_COOKIE_AGE = 14 * 86_400
SESSION_COOKIE_NAME = "switchyard_session"
CSRF_COOKIE_NAME = "switchyard_csrf"
CSRF_FAILURE_VIEW = "console.lib.error_pages.csrf_failure"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
HTTPS = env.bool("SWITCHYARD_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 86_400 if HTTPS else 0
# Behind a proxy that ends TLS, the one header by which it says so, such as X-Forwarded-Proto.
if proxy_header := env.str("SWITCHYARD_PROXY_HEADER", default=""):
    SECURE_PROXY_SSL_HEADER = (f"HTTP_{proxy_header.upper().replace('-', '_')}", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "console.lib.static_files.HashedStorage"},
}
SERVESTATIC_ALLOW_ALL_ORIGINS = False
SERVESTATIC_USE_ZSTD = False

# Bodies are small: files come in chunks, and the view that takes them reads the stream. Django holds a body in memory
# up to FILE_UPLOAD_MAX_MEMORY_SIZE and on disk beyond.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
UPLOAD_CHUNK_BYTES = 8 * 1024 * 1024

API_REQUESTS_PER_MINUTE = env.int("SWITCHYARD_API_REQUESTS_PER_MINUTE", default=1200)
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "console.lib.api_docs.ConsoleSchema",
    # The key first: its WWW-Authenticate makes a missing login 401 and not 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "console.accounts.authentication.BearerKey",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["console.lib.api_permissions.HasRight"],
    "DEFAULT_THROTTLE_CLASSES": ["console.lib.throttle.PerActor"],
    "DEFAULT_PAGINATION_CLASS": "console.lib.pagination.CountedPages",
    "DEFAULT_FILTER_BACKENDS": ["console.lib.filters.StrictFilterBackend"],
    "DEFAULT_PARSER_CLASSES": ["console.lib.json_parser.BoundedJson"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "console.lib.api_errors.handle_exception",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Switchyard console API",
    "DESCRIPTION": "What people can do in the console, machines can do here. Models are called at the gateway.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "console.lib.api_docs.list_codes",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RoleName": "console.accounts.choices.Role",
        "ScopeName": "console.accounts.choices.Scope",
        "ThemeName": "console.accounts.choices.Theme",
    },
}

# Where the console reaches the data plane, and where artifacts lie.
GATEWAY_URL = env.str("SWITCHYARD_GATEWAY_URL", default="http://127.0.0.1:8080")
GATEWAY_PUBLIC_URL = env.str("SWITCHYARD_GATEWAY_PUBLIC_URL", default=GATEWAY_URL)  # as clients see it, for snippets
ARTIFACT_STORE = env.str("SWITCHYARD_STORE", default=f"file://{DATA_DIR / 'store'}")
UPLOAD_QUOTA_BYTES = env.int("SWITCHYARD_UPLOAD_QUOTA_BYTES", default=20 * 1024**3)
