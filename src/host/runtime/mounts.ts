import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { join, posix } from 'node:path';
import type { Duplex } from 'node:stream';
import { bindMount, mount, UnmountFlag, unmount } from '../system/mount.ts';
import { openInRoot } from '../system/root-path.ts';
import type { OciMount } from './oci-spec.ts';
import type { BindMount, SecretMount, SshMount, StepMount, TmpfsMount } from './step.ts';

const SECRET_MODE = 0o400;
const SOCKET_MODE = 0o600;

/** Where a step's mounts find their sources, and what takes away afterwards what they needed. */
export interface MountContext {
  /** The step's own directory. */
  readonly place: string;
  /** A directory in memory, for secrets. */
  readonly secrets: string;
  readonly id: string;
  /** Options that a bind of a path has to repeat. */
  readonly sourceOptions: (path: string) => readonly string[];
  readonly cleanup: AsyncDisposableStack;
}

/**
 * The runtime's mounts for a step's mounts, sorted by destination. Secrets and agent sockets are made, parts of a source
 * are bound. Throws `SystemError`; its text names a missing part as the step names it.
 */
export async function prepareMounts(mounts: readonly StepMount[], context: MountContext): Promise<OciMount[]> {
  const prepared: OciMount[] = [];
  for (const [index, step] of mounts.entries()) {
    const destination = posix.join('/', step.target);
    if (destination === '/') throw new TypeError(`invalid mount target ${JSON.stringify(step.target)}`);
    prepared.push({ destination, ...(await prepare(step, index, context)) });
  }
  return prepared.sort((a, b) => (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0));
}

type Source = Omit<OciMount, 'destination'>;

function prepare(step: StepMount, index: number, context: MountContext): Source | Promise<Source> {
  switch (step.kind) {
    case 'bind':
      return prepareBind(step, index, context);
    case 'tmpfs':
      return prepareTmpfs(step);
    case 'secret':
      return prepareSecret(step, index, context);
    case 'ssh':
      return prepareSsh(step, index, context);
  }
}

function prepareBind(step: BindMount, index: number, context: MountContext): Source {
  const selector = posix.join('/', step.selector ?? '/');
  const source = selector === '/' ? step.source : bindPart(step.source, selector, index, context);
  return bind(source, step.readOnly === true ? ['rbind', 'ro'] : ['rbind'], context);
}

/**
 * Binds a part of a directory to a place of its own. The runtime would follow links in the source by name, and other steps
 * may be writing to it: a link that one of them makes must not lead out.
 */
function bindPart(source: string, selector: string, index: number, context: MountContext): string {
  const handle = openInRoot(source, selector);
  try {
    const target = join(context.place, `part-${index}`);
    const path = `/proc/self/fd/${handle}`;
    if (statSync(path).isDirectory()) mkdirSync(target);
    else writeFileSync(target, '');
    bindMount(path, target, { recursive: true });
    context.cleanup.defer(() => unmount(target, UnmountFlag.detach));
    return target;
  } finally {
    closeSync(handle);
  }
}

function prepareTmpfs(step: TmpfsMount): Source {
  const options = ['nosuid'];
  if (step.readOnly === true) options.push('ro');
  if (step.size !== undefined && step.size > 0) options.push(`size=${step.size}`);
  return { type: 'tmpfs', source: 'tmpfs', options };
}

function prepareSecret(step: SecretMount, index: number, context: MountContext): Source {
  const mode = (step.mode ?? SECRET_MODE) & 0o777;
  const path = join(context.secrets, `${context.id}-${index}`);
  context.cleanup.defer(() => rmSync(path, { force: true }));
  writeFileSync(path, step.data, { mode: 0o600 });
  chownSync(path, step.uid ?? 0, step.gid ?? 0);
  chmodSync(path, mode);
  const options = ['ro', 'rbind', 'nodev', 'nosuid'];
  if ((mode & 0o111) === 0) options.push('noexec');
  return bind(path, options, context);
}

async function prepareSsh(step: SshMount, index: number, context: MountContext): Promise<Source> {
  const name = `agent-${index}`;
  const path = join(context.place, name);
  await using made = new AsyncDisposableStack();
  const directory = openSync(context.place, constants.O_RDONLY | constants.O_DIRECTORY);
  made.defer(() => closeSync(directory));
  const connections = new Set<Duplex>();
  const server = createServer(client => {
    const agent = typeof step.agent === 'string' ? connect(step.agent) : step.agent();
    for (const [stream, other] of [
      [client, agent],
      [agent, client],
    ] as const) {
      connections.add(stream);
      stream.once('error', () => other.destroy());
      stream.once('close', () => {
        connections.delete(stream);
        other.destroy();
      });
    }
    client.pipe(agent).pipe(client);
  });
  made.defer(
    () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        for (const connection of connections) connection.destroy();
      }),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // A socket's name has at most 107 bytes, and the place may be deep.
    server.listen(`/proc/self/fd/${directory}/${name}`, () => resolve());
  });
  chownSync(path, step.uid ?? 0, step.gid ?? 0);
  chmodSync(path, (step.mode ?? SOCKET_MODE) & 0o777);
  const owned = made.move();
  context.cleanup.defer(() => owned.disposeAsync());
  return bind(path, ['rbind'], context);
}

function bind(source: string, options: readonly string[], context: MountContext): Source {
  return { type: 'bind', source, options: [...new Set([...options, ...context.sourceOptions(source)])] };
}

/**
 * Mounts a directory in memory, with one for secrets in it: they never touch the disk, and what steps need for a moment
 * costs no journal. Throws `SystemError`.
 */
export function mountMemory(place: string): Disposable {
  mount({ source: 'tmpfs', target: place, type: 'tmpfs', data: 'mode=711' });
  mkdirSync(join(place, 'secrets'), { mode: 0o700 });
  return {
    [Symbol.dispose]() {
      unmount(place, UnmountFlag.detach);
    },
  };
}
