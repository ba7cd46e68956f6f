import { serviceClient } from '../../wire/grpc/service-client.ts';
import { formatPlatform, parsePlatform } from '../../wire/oci/platform.ts';
import { Control } from '../../wire/proto/gen/control/control_pb.ts';
import { platformOf } from '../daemon/wire-values.ts';
import type { RemoteConnection } from './remote-build.ts';
import { UnreachableBuilderError } from './remote-error.ts';

/** How long a daemon may take to answer for the first time, in milliseconds: a program may have to reach it first. */
const PATIENCE = 20_000;

/** A daemon that answered. */
interface Greeted {
  readonly connection: RemoteConnection;
  /** As it names them, its own first. */
  readonly platforms: readonly string[];
}

/**
 * The one of several daemons that a build goes to: of those that answer and have all its platforms (of all that answer, if
 * none has) the one that runs the fewest builds; between equals, one that the first platform is native to, then the first.
 * @throws UnreachableBuilderError when none answers
 */
export async function chooseBuilder(
  connections: readonly RemoteConnection[],
  platforms: readonly string[],
  signal: AbortSignal,
): Promise<RemoteConnection> {
  const answers = await Promise.allSettled(connections.map(connection => greet(connection, signal)));
  signal.throwIfAborted();
  const failures = answers.flatMap(answer => (answer.status === 'rejected' ? [answer.reason] : []));
  const greeted = answers.flatMap(answer => (answer.status === 'fulfilled' ? [answer.value] : []));
  const [only] = greeted;
  if (connections.length === 1 && only) return only.connection;
  const wanted = platforms.map(platform => formatPlatform(parsePlatform(platform)));
  const having = greeted.filter(one => wanted.every(platform => one.platforms.includes(platform)));
  // Steps that run nothing need no processor.
  const fit = having.length > 0 ? having : greeted;
  const load = await Promise.all(fit.map(async one => ({ one, builds: await activeBuilds(one.connection, signal) })));
  const foreign = ({ platforms: [native] }: Greeted): number =>
    wanted[0] === undefined || wanted[0] === native ? 0 : 1;
  load.sort((a, b) => a.builds - b.builds || foreign(a.one) - foreign(b.one));
  const [least] = load;
  if (least === undefined) throw failures[0];
  return least.one.connection;
}

/** Finds out whether there is a daemon. Rejects with UnreachableBuilderError. */
async function greet(connection: RemoteConnection, signal: AbortSignal): Promise<Greeted> {
  try {
    const { record } = await serviceClient(Control, connection.channel).listWorkers({}, { signal, timeout: PATIENCE });
    const platforms = record.flatMap(worker => worker.platforms.map(one => formatPlatform(platformOf(one))));
    return { connection, platforms };
  } catch (error) {
    signal.throwIfAborted();
    throw new UnreachableBuilderError(
      `the builder ${connection.address} cannot be reached: ${reasonOf(error)}; ${hintOf(connection, error)}`,
      { cause: error },
    );
  }
}

/** How many builds run on a daemon; none where it keeps no history. */
async function activeBuilds({ channel }: RemoteConnection, signal: AbortSignal): Promise<number> {
  let count = 0;
  try {
    const events = serviceClient(Control, channel).listenBuildHistory(
      { ActiveOnly: true, EarlyExit: true },
      { signal, timeout: PATIENCE },
    );
    for await (const _event of events) count++;
  } catch {
    signal.throwIfAborted();
  }
  return count;
}

function hintOf({ address }: RemoteConnection, error: unknown): string {
  const isClosed = error instanceof Error && error.message.includes('the stream was closed');
  if (isClosed && address.startsWith('tcp://')) return 'does it want TLS, or a client certificate that it knows?';
  return 'is its daemon running, and the address right?';
}

/** What lies at the bottom of an error. */
function reasonOf(error: unknown): string {
  for (let one = error; ; one = one.cause) {
    if (!(one instanceof Error)) return String(one);
    if (!(one.cause instanceof Error)) return one.message.trim();
  }
}
