import { canonicalIp } from './options.ts';

/** A port that cannot be exposed. */
class PortError extends Error {
  override readonly name = 'PortError';
}

const MAX_PORT = 65_535;

/** A port of EXPOSE: what it opens, and what it should not have said. */
export interface ExposedPorts {
  /** `<port>/<protocol>`, ranges port by port. */
  readonly ports: readonly string[];
  /** As written; it should be lower case. */
  readonly protocol: string;
  /** Whether it names an address or a port of the host, which mean nothing here. */
  readonly hasHost: boolean;
}

/** Reads `[ip:][hostPort:]port[-port][/protocol]`. @throws PortError */
export function parseExposedPort(text: string): ExposedPorts {
  const parts = text.split(':');
  const container = parts.at(-1) ?? '';
  const hostPort = parts.at(-2) ?? '';
  const ip = parts.slice(0, -2).join(':');
  const slash = container.indexOf('/');
  const range = slash < 0 ? container : container.slice(0, slash);
  const protocol = (slash < 0 ? '' : container.slice(slash + 1)) || 'tcp';
  if (range === '') throw new PortError(`invalid port: "${text}": no port specified`);
  if (!['tcp', 'udp', 'sctp'].includes(protocol.toLowerCase())) {
    throw new PortError(`invalid port: "${text}": invalid proto: ${protocol}`);
  }
  const bare = ip.startsWith('[') && ip.endsWith(']') ? ip.slice(1, -1) : ip;
  if (ip.startsWith('[') && bare === ip) throw new PortError(`invalid IP address ${ip}: missing ']' in address`);
  if (bare !== '' && canonicalIp(bare) === undefined) throw new PortError(`invalid IP address: ${bare}`);
  const ports = parseRange(range);
  if (ports === undefined) throw new PortError(`invalid containerPort: ${range}`);
  if (hostPort !== '') checkHostPort(hostPort, range, ports);
  const { start, end } = ports;
  return {
    ports: Array.from({ length: end - start + 1 }, (_, i) => `${start + i}/${protocol.toLowerCase()}`),
    protocol,
    hasHost: ip !== '' || hostPort !== '',
  };
}

interface PortRange {
  readonly start: number;
  readonly end: number;
}

function checkHostPort(text: string, containerText: string, container: PortRange): void {
  const host = parseRange(text);
  if (host === undefined) throw new PortError(`invalid hostPort: ${text}`);
  const isRange = container.end !== container.start;
  if (isRange && container.end - container.start !== host.end - host.start) {
    throw new PortError(`invalid ranges specified for container and host Ports: ${containerText} and ${text}`);
  }
}

function parseRange(text: string): PortRange | undefined {
  const dash = text.indexOf('-');
  const start = parsePort(dash < 0 ? text : text.slice(0, dash));
  const end = dash < 0 ? start : parsePort(text.slice(dash + 1));
  return start === undefined || end === undefined || end < start ? undefined : { start, end };
}

function parsePort(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 0 && port <= MAX_PORT ? port : undefined;
}
