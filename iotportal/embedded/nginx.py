"""nginx from the system's packages, as a private instance in front of the web processes; the system's own is left alone."""

import grp
import os
import re
import shutil
from collections.abc import Mapping, Sequence

from iotportal.embedded.children import Child
from iotportal.embedded.errors import StartError
from iotportal.embedded.state import CHECKOUT, State, write_private

TEMPLATE = CHECKOUT / "docker" / "nginx" / "nginx.conf.template"
HINT = "On Debian and Ubuntu: apt install nginx-light (its service need not run: systemctl disable --now nginx)."
_WORD = re.compile(r"\$\{([A-Z_]+)\}")  # nginx's own variables are in small letters


def program() -> str | None:
    """Return nginx, or None where it is not installed; /usr/sbin is in no ordinary user's PATH on Debian."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def render(template: str, words: Mapping[str, str]) -> str:
    """Return the configuration with each ${WORD} filled in. Raises KeyError for one that is not given."""
    return _WORD.sub(lambda found: words[found[1]], template)


def upstream(host: str, ports: Sequence[int]) -> str:
    """Return the lines that name the web processes; one that failed is asked again after 2 s."""
    return "\n        ".join(f"server {host}:{port} max_fails=1 fail_timeout=2s;" for port in ports)


def child(state: State, words: Mapping[str, str]) -> Child:
    """Write the configuration and return nginx as a child process. `words`: what the template asks for besides user and folder.

    Raises:
        StartError: nginx is not installed.
    """
    nginx = program()
    if nginx is None:
        raise StartError(f"nginx is not installed here. {HINT}")
    home = state.root / "nginx"
    home.mkdir(mode=0o700, exist_ok=True)
    config = home / "nginx.conf"
    own = {"NGINX_USER": _user(), "NGINX_RUN": str(home)}
    write_private(config, render(TEMPLATE.read_text(encoding="utf-8"), {**own, **words}))
    return Child(
        "nginx", (nginx, "-e", "stderr", "-p", str(home), "-c", str(config)), env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    )


def _user() -> str:
    """Return as whom nginx's workers run: nobody where we are root, else as ourselves."""
    if os.geteuid() != 0:
        return ""
    groups = {entry.gr_name for entry in grp.getgrall()}
    return f"user nobody {'nogroup' if 'nogroup' in groups else 'nobody'};"
