import { readFileSync } from 'node:fs';
import { buildkitdConfigPath } from '../../host/config/buildkitd-toml.ts';
import { type DaemonConfig, loadDaemonConfig } from '../../host/config/daemon-config.ts';
import type { ListenOptions } from '../../wire/grpc/listen.ts';
import { startDaemon } from './daemon.ts';
import { createDaemonLog } from './daemon-log.ts';
import { applyFlags, ServeFlagError, type ServeFlags } from './serve-flags.ts';
import { notifyServiceManager } from './service-manager.ts';

/**
 * Runs `outcrop serve` until it is told to end. The first request lets running builds end; a second one ends at once.
 * @returns the exit code
 * @throws ServeFlagError, BuildkitdConfigError, and what starting throws.
 */
export async function runServe(flags: ServeFlags): Promise<number> {
  const config = applyFlags(await loadDaemonConfig(flags.config ?? buildkitdConfigPath(process.env)), flags);
  if (config.proxyNetwork)
    throw new ServeFlagError('proxy networks are not done: start without --proxy-network and proxyNetwork');
  const log = createDaemonLog(process.stderr, config);
  const listen = listenOptions(config);
  const starting = new AbortController();
  const requests = endRequests(starting);
  await using daemon = await startDaemon(config, listen, log, starting.signal);
  for (const address of daemon.addresses) log.info('running server', { address });
  notifyServiceManager('READY=1', process.env);
  await requests.first;
  log.info('stopping: running builds may end', {});
  notifyServiceManager('STOPPING=1', process.env);
  await Promise.race([daemon.drain(), requests.second]);
  return 0;
}

function endRequests(starting: AbortController): { readonly first: Promise<void>; readonly second: Promise<void> } {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const onSignal = () => {
    count += 1;
    starting.abort();
    if (count === 1) first.resolve();
    else second.resolve();
    if (count > 2) process.exit(1);
  };
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, onSignal);
  return { first: first.promise, second: second.promise };
}

function listenOptions({ tls, uid, gid }: DaemonConfig): ListenOptions {
  const group = typeof gid === 'string' ? groupID(gid) : gid;
  const { cert, key, ca } = tls;
  if ((cert === undefined) !== (key === undefined))
    throw new ServeFlagError('you must specify key and cert file if one is specified');
  return {
    env: process.env,
    ...(uid === undefined ? {} : { uid }),
    ...(group === undefined ? {} : { gid: group }),
    ...(cert === undefined || key === undefined
      ? {}
      : {
          tls: {
            cert: readFileSync(cert),
            key: readFileSync(key),
            ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
          },
        }),
  };
}

function groupID(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find(entry => entry.startsWith(`${name}:`));
  const id = Number(line?.split(':')[2]);
  if (!Number.isInteger(id)) throw new ServeFlagError(`--group ${name}: no such group`);
  return id;
}
