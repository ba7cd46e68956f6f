import type { DockerConfig } from '../../host/config/docker-config.ts';

const DEFAULT_HOST = 'unix:///var/run/docker.sock';

const ARGUMENTS = [
  ['HTTP_PROXY', 'httpProxy'],
  ['HTTPS_PROXY', 'httpsProxy'],
  ['NO_PROXY', 'noProxy'],
  ['FTP_PROXY', 'ftpProxy'],
  ['ALL_PROXY', 'allProxy'],
] as const;

/**
 * The build arguments that `proxies` of Docker's configuration stands for: those of the engine that `DOCKER_HOST` names, else
 * those of `default`. What the command line gives, in whichever case, stays as it is (buildx's rules).
 */
export function proxyArguments(
  { proxies }: Pick<DockerConfig, 'proxies'>,
  given: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
): Map<string, string> {
  const config = proxies.get(environment['DOCKER_HOST'] || DEFAULT_HOST) ?? proxies.get('default');
  const names = new Set([...given.keys()].map(name => name.toUpperCase()));
  const own = ARGUMENTS.map(([name, key]) => [name, config?.[key]] as const);
  return new Map(own.flatMap(([name, value]) => (value && !names.has(name) ? [[name, value]] : [])));
}
