import { spawnSync } from 'node:child_process';

/** Tells the service manager that started this process how it is (sd_notify(3)); says nothing where there is none. */
export function notifyServiceManager(state: 'READY=1' | 'STOPPING=1', env: NodeJS.ProcessEnv): void {
  if (!env['NOTIFY_SOCKET']) return;
  // Datagrams to Unix sockets are beyond Node; the manager's own program sends them for us.
  spawnSync('systemd-notify', [`--pid=${process.pid}`, state], { stdio: 'ignore' });
}
