#!/usr/bin/env bash
# Installs, through apt, the programs that the demo and the tests drive; does nothing when they are all there.
set -euo pipefail
declare -A package_of=(
  [runc]=runc [crun]=crun [docker-registry]=docker-registry [skopeo]=skopeo [umoci]=umoci
  [busybox]=busybox-static [setcap]=libcap2-bin [setfattr]=attr [zstd]=zstd [xz]=xz-utils [git]=git
)
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=()
[ "$(id -u)" -eq 0 ] || sudo=(sudo)
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
