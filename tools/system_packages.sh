#!/bin/sh
# Install the packages of packages.txt that are missing, for the given uses (demo, setup, test): where this runs as root
# and there is apt-get. Otherwise say which ones would help. Never fails: none of them is needed.
set -u
list="$(dirname "$0")/../packages.txt"
python="${PYTHON:-python3}"
header='import sysconfig; print(sysconfig.get_path("include") + "/Python.h")'
missing=""
for use in "$@"; do
    for package in $(awk -v use="$use" '$1 == use { print $2 }' "$list"); do
        case "$package" in
        g++) command -v c++ >/dev/null 2>&1 && continue ;;
        python3-venv) "$python" -c 'import ensurepip' 2>/dev/null && continue ;;
        python3-dev) test -f "$("$python" -c "$header" 2>/dev/null)" && continue ;;
        chromium) command -v chromium >/dev/null 2>&1 && continue ;;
        esac
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "these system packages would help (packages.txt):$missing"
    exit 0
fi
echo "installing system packages:$missing"
export DEBIAN_FRONTEND=noninteractive
install="timeout 300 apt-get install -y -qq --no-install-recommends"
# shellcheck disable=SC2086
$install $missing >/dev/null 2>&1 ||
    { timeout 120 apt-get update -qq >/dev/null 2>&1 && $install $missing >/dev/null 2>&1; } ||
    echo "could not install them; going on without"
exit 0
