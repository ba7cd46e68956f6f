import { isIPv4 } from 'node:net';

/** The name of a step's machine, unless the build sets another. */
export const DEFAULT_HOSTNAME = 'buildkitsandbox';

const PUBLIC_NAMESERVERS = ['8.8.8.8', '8.8.4.4', '2001:4860:4860::8888', '2001:4860:4860::8844'];

/** Name servers and so on that replace what the machine's file says. */
export interface DnsSettings {
  readonly nameservers?: readonly string[];
  readonly searchDomains?: readonly string[];
  readonly options?: readonly string[];
}

/** The text of a step's `/etc/hosts`. The machine's own is never used. */
export function hostsFile(hostname: string, extra: readonly { readonly host: string; readonly ip: string }[]): string {
  const own = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`;
  return own + extra.map(({ host, ip }) => `${ip}\t${host}\n`).join('');
}

/** Whether a resolv.conf names only systemd-resolved's stub, which other networks cannot reach. */
export function isResolvedStub(text: string): boolean {
  const { nameservers } = parse(text);
  return nameservers.length === 1 && nameservers[0] === '127.0.0.53';
}

/**
 * The text of a step's `/etc/resolv.conf`.
 *
 * @param host The machine's file, empty if missing.
 * @param ownNetwork Whether the step does not share the machine's network, so that its loopback is another.
 */
export function resolvConf(host: string, dns: DnsSettings, ownNetwork: boolean): string {
  const parsed = parse(host);
  let nameservers = dns.nameservers ?? [];
  if (nameservers.length === 0) {
    nameservers = ownNetwork ? parsed.nameservers.filter(address => !isLoopback(address)) : parsed.nameservers;
    if (nameservers.length === 0) nameservers = PUBLIC_NAMESERVERS;
  }
  const search = dns.searchDomains !== undefined && dns.searchDomains.length > 0 ? dns.searchDomains : parsed.search;
  const options = dns.options !== undefined && dns.options.length > 0 ? dns.options : parsed.options;
  const lines = nameservers.map(address => `nameserver ${address}`);
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return [...lines, ...parsed.others].map(line => `${line}\n`).join('');
}

interface ResolvConf {
  readonly nameservers: string[];
  readonly search: readonly string[];
  readonly options: string[];
  readonly others: string[];
}

function parse(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: readonly string[] = [];
  const options: string[] = [];
  const others: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.split(/\s+/).filter(word => word !== '');
    if (keyword === undefined || /^[#;]/.test(line)) continue;
    if (keyword === 'nameserver') {
      if (values[0] !== undefined) nameservers.push(values[0]);
    } else if (keyword === 'search' || keyword === 'domain') {
      if (values.length > 0) search = values;
    } else if (keyword === 'options') {
      options.push(...values);
    } else {
      others.push(line);
    }
  }
  return { nameservers, search, options, others };
}

function isLoopback(address: string): boolean {
  return isIPv4(address) ? address.startsWith('127.') : /^::1(%|$)/.test(address);
}
