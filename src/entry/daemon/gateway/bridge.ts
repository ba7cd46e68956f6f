import { sourcePolicy } from '../../../engine/source/source-policy.ts';
import { Code } from '../../../wire/grpc/code.ts';
import { type Route, type ServerCall, type ServiceImplementation, serviceRoutes } from '../../../wire/grpc/service.ts';
import { fromStatusMessage, StatusError } from '../../../wire/grpc/status.ts';
import { LLBBridge } from '../../../wire/proto/gen/control/gateway_pb.ts';
import type { Definition } from '../../../wire/proto/gen/pb/ops_pb.ts';
import { frontendCapabilities, llbCapabilities } from '../capabilities.ts';
import type { ClientBuild } from '../client-build.ts';
import { errorStatus, SolveError } from '../error-status.ts';
import type { FrontendResult, ResultRef } from '../frontend-result.ts';
import { cacheRequest } from '../solve-request.ts';
import { briefWorkerMessage } from '../worker.ts';
import { createContainers } from './containers.ts';
import { execStream } from './exec-stream.ts';
import { failedStep } from './failed-step.ts';
import { type FileRange, readTreeDirectory, readTreeFile, statTreeFile } from './read-files.ts';
import { readResult, resultMessage } from './result-message.ts';
import { resolveImageConfig, resolveSourceMeta } from './source-meta.ts';
import { readWarning } from './warning.ts';

/** What one frontend talks to while it runs: the methods of LLBBridge, for its build. Disposing ends its containers. */
export interface Bridge extends AsyncDisposable {
  /** By path. */
  readonly routes: ReadonlyMap<string, Route>;
  /** What the frontend returns. Rejects with the error that it returns. */
  readonly returned: Promise<FrontendResult>;
  /** Whether the frontend has returned. */
  readonly hasReturned: boolean;
}

/**
 * What a frontend of a build talks to.
 * @param inputs graphs that the frontend is given, by name
 */
export function createBridge(build: ClientBuild, inputs: ReadonlyMap<string, Definition>): Bridge {
  const refs = new Map<string, ResultRef>();
  const containers = createContainers(build, id => refs.get(id));
  const returned = Promise.withResolvers<FrontendResult>();
  // Nobody may be waiting yet.
  returned.promise.catch(() => undefined);
  let hasReturned = false;

  function keep(result: FrontendResult): FrontendResult {
    for (const ref of result.refs?.values() ?? [result.ref]) if (ref !== undefined) refs.set(ref.id, ref);
    for (const list of result.attestations.values())
      for (const { ref } of list) if (ref !== undefined) refs.set(ref.id, ref);
    return result;
  }

  function find(id: string): ResultRef {
    const ref = refs.get(id);
    if (ref !== undefined) return ref;
    if (id === '') throw new StatusError(Code.unknown, `empty ref: ${id}`);
    throw new StatusError(Code.unknown, `no such ref: ${id}, all [${[...refs.keys()].join(' ')}]`);
  }

  function settle(work: () => void): void {
    if (hasReturned) throw new StatusError(Code.unknown, 'gateway result is already set');
    hasReturned = true;
    work();
  }

  /** Fails as solving of a gateway does: with what is known of the step that failed. */
  async function solving<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StatusError) throw error;
      throw errorStatus(
        new SolveError(
          error,
          failedStep(error, ref => void refs.set(ref.id, ref)),
        ),
      );
    }
  }

  const implementation: ServiceImplementation<typeof LLBBridge> = {
    async ping() {
      return {
        FrontendAPICaps: [...frontendCapabilities],
        LLBCaps: [...llbCapabilities],
        Workers: [briefWorkerMessage(build.worker)],
      };
    },

    async solve(request, { signal }) {
      const { Definition: definition, Frontend: frontend, FrontendOpt: options } = request;
      const result = keep(
        await solving(async () => {
          const imports = request.CacheImports.map(cacheRequest);
          if (frontend === '') {
            const { SourcePolicies: policies } = request;
            const policy = policies.length === 0 ? undefined : sourcePolicy([...build.request.policies, ...policies]);
            return build.definitionResult(definition, imports, policy);
          }
          if (definition !== undefined && definition.def.length > 0)
            throw new StatusError(Code.unknown, 'cannot solve with both Definition and Frontend specified');
          const inner = {
            frontend,
            options: new Map(Object.entries(options)),
            inputs: new Map(Object.entries(request.FrontendInputs)),
            imports,
          };
          return build.runFrontend(inner, signal);
        }),
      );
      if (request.Evaluate) await solving(() => evaluate(result, signal));
      if (request.Final) {
        settle(() => returned.resolve({ ...result, metadata: finalMetadata(request.ExporterAttr, result) }));
      }
      if (!request.allowResultReturn) {
        if (result.refs !== undefined) throw new StatusError(Code.unknown, 'solve did not return default result');
        return { ref: result.ref?.id ?? '' };
      }
      return { result: resultMessage(result, request.allowResultArrayRef) };
    },

    async readFile({ Ref: id, FilePath: path, Range: range }, { signal }) {
      const tree = await solving(() => build.files(find(id), signal));
      return { Data: Uint8Array.from(await fileError(() => readTreeFile(tree, path, rangeOf(range), signal))) };
    },
    async readDir({ Ref: id, DirPath: path, IncludePattern: include }, { signal }) {
      const tree = await solving(() => build.files(find(id), signal));
      return { entries: await fileError(async () => readTreeDirectory(tree, path, include)) };
    },
    async statFile({ Ref: id, Path: path }, { signal }) {
      const tree = await solving(() => build.files(find(id), signal));
      return { stat: await fileError(async () => statTreeFile(tree, path)) };
    },
    async evaluate({ Ref: id }, { signal }) {
      await solving(() => find(id).solve(signal));
      return {};
    },

    resolveImageConfig: (request, { signal }) => mapped(() => resolveImageConfig(build, request, signal)),
    resolveSourceMeta: (request, { signal }) => mapped(() => resolveSourceMeta(build, request, signal)),

    async warn(request) {
      build.emit(readWarning(request));
      return {};
    },
    async newContainer(request, { signal }) {
      await mapped(() => containers.open(request, signal));
      return {};
    },
    async releaseContainer({ ContainerID: id }) {
      await mapped(() => containers.release(id));
      return {};
    },
    execProcess: (requests, { signal }) => execStream(requests, containers, signal),
    async readFileContainer({ Ref: id, MountIndex: mount, FilePath: path, Range: range }, { signal }) {
      const data = await fileError(() => readTreeFile(containers.files(id, mount), path, rangeOf(range), signal));
      return { Data: Uint8Array.from(data) };
    },
    async readDirContainer({ Ref: id, MountIndex: mount, DirPath: path, IncludePattern: include }) {
      return { entries: await fileError(async () => readTreeDirectory(containers.files(id, mount), path, include)) };
    },
    async statFileContainer({ Ref: id, MountIndex: mount, Path: path }) {
      return { stat: await fileError(async () => statTreeFile(containers.files(id, mount), path)) };
    },

    async inputs() {
      return { Definitions: Object.fromEntries(inputs) };
    },

    async return(request) {
      const { result, error } = request;
      if ((result === undefined) === (error === undefined))
        throw new StatusError(Code.unknown, 'gateway return must be either result or err');
      settle(() => {
        if (error !== undefined) returned.reject(fromStatusMessage(error));
        else if (result !== undefined) {
          try {
            returned.resolve(readResult(result, id => refs.get(id)));
          } catch (cause) {
            hasReturned = false;
            throw cause;
          }
        }
      });
      return {};
    },
  };

  return {
    routes: new Map(serviceRoutes(LLBBridge, implementation).map(route => [route.path, route])),
    returned: returned.promise,
    get hasReturned() {
      return hasReturned;
    },
    [Symbol.asyncDispose]: () => containers[Symbol.asyncDispose](),
  };
}

/** The routes of LLBBridge on a socket where builds are told apart by metadata. */
export function bridgeRoutes(bridgeFor: (call: ServerCall) => Promise<Bridge>): Route[] {
  return LLBBridge.methods.map(({ name, methodKind }) => ({
    path: `/${LLBBridge.typeName}/${name}`,
    answersMany: methodKind === 'bidi_streaming' || methodKind === 'server_streaming',
    async *run(requests, call) {
      let bridge: Bridge;
      try {
        bridge = await bridgeFor(call);
      } catch (error) {
        const { code, message } = errorStatus(error);
        throw new StatusError(code, `forwarding ${name}: ${message}`, { cause: error });
      }
      const route = bridge.routes.get(call.path);
      if (route === undefined)
        throw new StatusError(Code.unimplemented, `unknown method ${name} for service ${LLBBridge.typeName}`);
      yield* route.run(requests, call);
    },
  }));
}

async function evaluate(result: FrontendResult, signal: AbortSignal): Promise<void> {
  const refs = result.refs === undefined ? [result.ref] : [...result.refs.values()];
  await Promise.all(refs.map(ref => ref?.solve(signal)));
}

/** Errors about files carry the same empty detail. */
async function fileError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw errorStatus(new SolveError(error));
  }
}

async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw errorStatus(error);
  }
}

function rangeOf(range: { readonly Offset: bigint; readonly Length: bigint } | undefined): FileRange | undefined {
  return range && { offset: Number(range.Offset), length: Number(range.Length) };
}

/** Metadata of the older protocol, where the last solve says that it is the last. */
function finalMetadata(json: Uint8Array, { metadata }: FrontendResult): ReadonlyMap<string, Uint8Array> {
  if (json.length === 0) return metadata;
  const attributes = JSON.parse(new TextDecoder().decode(json)) as Record<string, string>;
  return new Map([
    ...metadata,
    ...Object.entries(attributes).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ]);
}
