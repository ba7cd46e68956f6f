/** What to do about a case of the catalogue, in a line; its page tells more. */
import type { SurpriseId } from './catalogue.ts';

const CURES: Readonly<Record<SurpriseId, string>> = {
  'arg-scope': 'declare the ARG right before the first step that needs it',
  'base-drift': 'name the base by digest, as in FROM node:20@sha256:…, to decide yourself when it moves',
  'broken-local-cache': 'export the cache anew',
  'cache-mount-lost':
    'let cache mounts travel with the cache: --cache-to …,mounts=true, and --cache-from fills empty ones',
  'cache-mount-state': 'outcrop verify builds with empty and with filled mounts and reports what differs',
  'changed-under-build': 'build again when the file is still, and write generated files outside of the context',
  'chmod-source': 'give the files of the context one mode on every machine',
  'cross-stage-reuse': 'nothing to do; an ENV before one of the steps would keep them apart',
  'dir-mode': 'nothing to do; where machines differ, give them one umask',
  'env-order': 'leave the order of ENV lines as it is',
  'exclude-follows-links': 'leave such links out with .dockerignore, or name the files',
  'hit-then-fail': 'export the cache anew, and let the registry keep what tagged manifests name',
  'identical-content': 'nothing to do; --no-cache-filter STAGE makes it run',
  'inline-min': 'use a cache of its own: --cache-to type=registry,ref=…,mode=max',
  'label-late': 'nothing to do; such lines come last where outcrop build --legacy has to cache well, too',
  'lazy-forgotten': 'give the same --cache-from again',
  'mode-min': 'export with mode=max',
  'mount-id-changed': 'nothing to do; --no-cache-filter STAGE makes it run',
  'network-fetch': 'copy a lock file before it, or run the stage again with --no-cache-filter STAGE',
  'no-cache-copy': 'name the stage that is to run: --no-cache-filter STAGE leaves the others cached',
  'not-exported': 'give each build a reference of its own, or export with merge=true',
  'platform-split': 'put what needs no platform into a stage FROM --platform=$BUILDPLATFORM …',
  pruned: 'keep more: outcrop prune --reserved-space 20gb, or a longer until=',
  'secret-ignored': 'put an argument that changes with the secret before it, such as ARG TOKEN_VERSION',
  'spelling-miss': 'leave the way an expensive instruction is written as it is',
  'stale-import': 'refuse old results with --cache-max-age 7d, or build with --no-cache-filter STAGE now and then',
  'xattr-only': 'nothing to do; it counts on every machine alike',
};

/** What to do about a case. */
export function cureOf(id: SurpriseId): string {
  return CURES[id];
}
