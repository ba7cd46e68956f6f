/** What the history of the root keeps of a client's build, beside what BuildKit's own history does. */
import { randomBytes } from 'node:crypto';
import { redactUrl } from '../../engine/source/source-key.ts';
import type { BuildStart } from '../../insight/history/build-record.ts';
import { cacheText, some } from '../builder/record-build.ts';
import type { ClientSolve } from './solve-request.ts';

/**
 * @param directory - what the client calls the directory that it builds; empty if it does not say
 * @param startedAt - milliseconds since the epoch
 */
export function clientStart(request: ClientSolve, directory: string, startedAt: number): BuildStart {
  const { frontendOptions: options, exporters } = request;
  const withPrefix = (prefix: string) =>
    Object.fromEntries(
      [...options].flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), redactUrl(value)] as const] : [],
      ),
    );
  const list = (key: string) => (options.get(key) ?? '').split(',').filter(word => word !== '');
  const target = options.get('target') ?? '';
  const url = options.get('context');
  const network = options.get('force-network-mode');
  const noCache = options.get('no-cache') === '' ? 'all' : list('no-cache');
  return {
    id: randomBytes(8).toString('hex'),
    startedAt,
    context: url === undefined ? directory || '-' : redactUrl(url),
    dockerfile: options.get('filename') ?? 'Dockerfile',
    options: {
      ...(target === '' ? {} : { target }),
      ...some('buildArgs', withPrefix('build-arg:')),
      ...some('labels', withPrefix('label:')),
      ...some('namedContexts', withPrefix('context:')),
      ...some('platforms', list('platform')),
      ...some(
        'tags',
        exporters.flatMap(({ attributes }) => attributes['name']?.split(',') ?? []),
      ),
      ...some(
        'outputs',
        exporters.map(({ type }) => type),
      ),
      ...(noCache.length > 0 ? { noCache } : {}),
      ...(network === undefined ? {} : { network }),
      ...some('addHosts', list('add-hosts')),
      ...some('cacheFrom', request.cacheImports.map(cacheText)),
      ...some('cacheTo', request.cacheExports.map(cacheText)),
    },
  };
}
