#!/usr/bin/env bash
# Makes a base image out of Debian packages, where a Debian mirror can be reached but no image registry.
# Usage: scripts/make_base_image.sh [NAME [MIRROR...]]
set -euo pipefail

name=${1:-carbon-policy-base:bookworm}
shift || true

command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing: apt-get install mmdebstrap" >&2; exit 1; }

# Through a file, as `docker import` would make an image of a half-written stream too.
tar=$(mktemp --suffix=.tar)
trap 'rm -f "$tar"' EXIT

# Without a MIRROR, mmdebstrap takes Debian's own, through this machine's apt settings.
# Manuals and the like are left out: nobody reads them in a job.
mmdebstrap --quiet --variant=minbase --format=tar \
  --include=python3,python3-pip,python3-venv,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  bookworm "$tar" "$@"

docker import \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV LANG=C.UTF-8' \
  --change 'CMD ["python3"]' \
  "$tar" "$name"
