#!/bin/sh
# Say loudly what could not be tested here; says nothing when everything was.
if command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1; then
    exit 0
fi
echo
echo "*************************************************************************************************"
echo "*  LEFT OUT: all browser tests. There is no Chromium here and no way to install one.            *"
echo "*  Install it (Debian: apt install chromium) and run make test again to test the pages as well. *"
echo "*************************************************************************************************"
echo
