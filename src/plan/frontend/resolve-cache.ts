import type { FrontendHost, ResolvedImageConfig } from './host.ts';

/** The host, asked for each image only once for all platforms and stages. */
export function withResolveCache(host: FrontendHost, signal: AbortSignal): FrontendHost {
  const answers = new Map<string, Promise<ResolvedImageConfig>>();
  return {
    sessionID: host.sessionID,
    buildPlatforms: host.buildPlatforms,
    supports: capability => host.supports(capability),
    solve: (definition, given) => host.solve(definition, given),
    resolveSourceTime: (request, given) => host.resolveSourceTime(request, given),
    inputs: given => host.inputs(given),
    newID: () => host.newID(),
    resolveImageConfig: request => {
      const key = JSON.stringify(request);
      const known = answers.get(key);
      if (known !== undefined) return known;
      const answer = host.resolveImageConfig(request, signal);
      answers.set(key, answer);
      return answer;
    },
  };
}
