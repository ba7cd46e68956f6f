import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether this is the machine's root, not the root of a user namespace that `runRootless` made. */
function isRoot(environment: Environment): boolean {
  return process.getuid?.() === 0 && environment['OUTCROP_ROOTLESS'] === undefined;
}

/** A directory variable of the XDG base directory specification; relative values are ignored, as it demands. */
function xdg(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  return value !== undefined && isAbsolute(value) ? value : undefined;
}

function home(environment: Environment): string {
  const value = environment['HOME'];
  return value !== undefined && value !== '' ? value : homedir();
}

/**
 * Where blobs, layers and the database are kept: `$OUTCROP_ROOT`, else `/var/lib/outcrop` for root and
 * `$XDG_STATE_HOME/outcrop` (`~/.local/state/outcrop`) for others.
 */
export function outcropRoot(environment: Environment = process.env): string {
  const given = environment['OUTCROP_ROOT'];
  if (given !== undefined && given !== '') return isAbsolute(given) ? given : join(process.cwd(), given);
  if (isRoot(environment)) return '/var/lib/outcrop';
  return join(xdg(environment, 'XDG_STATE_HOME') ?? join(home(environment), '.local', 'state'), 'outcrop');
}

/**
 * Where a running process keeps what nobody needs after it (bundles, sockets): `$OUTCROP_RUNTIME_DIR`, else
 * `/run/outcrop` for root and `$XDG_RUNTIME_DIR/outcrop` for others; without that, `run` below the root.
 */
export function runtimeDirectory(environment: Environment = process.env): string {
  const given = environment['OUTCROP_RUNTIME_DIR'];
  if (given !== undefined && isAbsolute(given)) return given;
  if (isRoot(environment) && environment['OUTCROP_ROOT'] === undefined) return '/run/outcrop';
  const base = xdg(environment, 'XDG_RUNTIME_DIR');
  return base === undefined ? join(outcropRoot(environment), 'run') : join(base, 'outcrop');
}

/** Where settings are read from: `/etc/outcrop` for root, `$XDG_CONFIG_HOME/outcrop` (`~/.config/outcrop`) for others. */
export function configDirectory(environment: Environment = process.env): string {
  if (isRoot(environment)) return '/etc/outcrop';
  return join(xdg(environment, 'XDG_CONFIG_HOME') ?? join(home(environment), '.config'), 'outcrop');
}
