import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_HOSTNAME, type DnsSettings, hostsFile, isResolvedStub, resolvConf } from './network-files.ts';
import type { StepMeta } from './step.ts';

const HOST_RESOLV_CONF = '/etc/resolv.conf';
const RESOLVED_CONF = '/run/systemd/resolve/resolv.conf';

/** The files of the machine's network that steps get, each content written once. */
export interface StepFiles {
  /** The path of the hosts file for a step. */
  readonly hosts: (meta: StepMeta) => string;
  /** The path of the resolv.conf for a step. */
  readonly resolvConf: (ownNetwork: boolean) => string;
}

/** Keeps the files below a directory. */
export function stepFiles(directory: string, dns: DnsSettings): StepFiles {
  const hosts = new Map<string, string>();
  const resolv = new Map<boolean, { readonly changed: number; readonly path: string }>();
  return {
    hosts(meta) {
      const hostname = meta.hostname === undefined || meta.hostname === '' ? DEFAULT_HOSTNAME : meta.hostname;
      const text = hostsFile(hostname, meta.extraHosts ?? []);
      const known = hosts.get(text);
      if (known !== undefined) return known;
      const path = join(directory, hosts.size === 0 ? 'hosts' : `hosts.${hosts.size}`);
      writeFileSync(path, text, { mode: 0o644 });
      hosts.set(text, path);
      return path;
    },
    resolvConf(ownNetwork) {
      const changed = statSync(HOST_RESOLV_CONF, { throwIfNoEntry: false })?.mtimeMs ?? 0;
      const known = resolv.get(ownNetwork);
      if (known !== undefined && known.changed === changed) return known.path;
      let host = readText(HOST_RESOLV_CONF);
      if (ownNetwork && isResolvedStub(host)) host = readText(RESOLVED_CONF);
      const path = join(directory, ownNetwork ? 'resolv.conf' : 'resolv-host.conf');
      writeFileSync(path, resolvConf(host, dns, ownNetwork), { mode: 0o644 });
      resolv.set(ownNetwork, { changed, path });
      return path;
    },
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
