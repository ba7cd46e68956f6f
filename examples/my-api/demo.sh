#!/usr/bin/env bash
# Builds examples/my-api three times: from nothing, unchanged, and with one source file changed.
# The base image node:20 is made from this machine's Node and passed as an OCI layout, so no public registry is needed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
outcrop=("$here/../../node_modules/.bin/node" "$here/../../bin/outcrop.js")
work=${OUTCROP_DEMO_DIR:-$here/../../.outcrop/demo}
export OUTCROP_ROOT=${OUTCROP_ROOT:-$work/root}
mkdir -p "$work"

lay_out_base() {
  local root=$1 node npm
  node=$(PATH=${PATH//"$here/../../node_modules/.bin:"/} command -v node)
  node=$(readlink -f "$node")
  npm=$(readlink -f "$(dirname "$(command -v npm)")/../lib/node_modules/npm" || true)
  [ -d "$npm" ] || npm=$(readlink -f "$(npm root --global)/npm")
  mkdir -p "$root"/{bin,dev,etc/ssl/certs,proc,root,sys,tmp,usr/bin,usr/lib/node_modules,var}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cp "$node" "$root/usr/bin/node"
  cp -r "$npm" "$root/usr/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/bin/npm"
  ln -s ../../bin/busybox "$root/usr/bin/env"
  ldd "$node" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || : >"$root/etc/ssl/certs/ca-certificates.crt"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

if [ ! -f "$work/node-20/index.json" ]; then
  say "A base image from this machine's Node"
  rm -rf "$work/base"
  lay_out_base "$work/base"
  "${outcrop[@]}" build -f "$here/base/Dockerfile" --output "type=oci,dest=$work/node-20,tar=false" "$work/base"
fi

rm -rf "$work/app"
cp -r "$here" "$work/app"
rm -rf "$work/app/node_modules" "$work/app/dist"

build() {
  "${outcrop[@]}" build -t my-api --build-context "node:20=oci-layout://$work/node-20" --metadata-file "$work/metadata.json" "$work/app"
  grep -o '"containerimage.digest": "[^"]*"' "$work/metadata.json"
}

say "First build: RUN npm ci stands in two stages and runs once"
build
say "Second build: nothing changed"
build
say "Third build: src/server.ts changed"
sed -i "s/no such task/there is no such task/" "$work/app/src/server.ts"
build
