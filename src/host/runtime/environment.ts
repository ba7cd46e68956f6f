/** The PATH that a step gets when neither image nor Dockerfile sets one. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Proxies of the build; neither in a cache key nor in the image. */
interface ProxySettings {
  readonly httpProxy?: string;
  readonly httpsProxy?: string;
  readonly ftpProxy?: string;
  readonly noProxy?: string;
  readonly allProxy?: string;
}

const WINDOWS_PATH = 'c:\\Windows\\System32;c:\\Windows;C:\\Windows\\System32\\WindowsPowerShell\\v1.0';

/** What makes up a step's environment. */
export interface EnvironmentOptions {
  /** The op's own `NAME=value` entries. */
  readonly env: readonly string[];
  /** Where the first ssh mount is. */
  readonly sshSocket?: string;
  readonly proxy?: ProxySettings;
  /** Operating system that the default PATH is for; Linux if unset. */
  readonly os?: string;
  /** Secrets as variables; an absent optional one has an empty value. */
  readonly secrets?: readonly { readonly name: string; readonly value: string }[];
}

/** The environment of a step, in BuildKit's order; the runtime adds `HOME` at its end. */
export function stepEnvironment(options: EnvironmentOptions): string[] {
  const env = [...options.env];
  const has = (name: string): boolean => env.some(entry => entry.startsWith(`${name}=`));
  if (options.sshSocket !== undefined && !has('SSH_AUTH_SOCK')) env.push(`SSH_AUTH_SOCK=${options.sshSocket}`);
  const proxy = options.proxy ?? {};
  for (const [name, value] of [
    ['HTTP_PROXY', proxy.httpProxy],
    ['HTTPS_PROXY', proxy.httpsProxy],
    ['FTP_PROXY', proxy.ftpProxy],
    ['NO_PROXY', proxy.noProxy],
    ['ALL_PROXY', proxy.allProxy],
  ] as const) {
    if (value !== undefined && value !== '') env.push(`${name}=${value}`, `${name.toLowerCase()}=${value}`);
  }
  if (!has('PATH')) env.push(`PATH=${options.os === 'windows' ? WINDOWS_PATH : DEFAULT_PATH}`);
  for (const { name, value } of options.secrets ?? []) env.push(`${name}=${value}`);
  return env;
}
