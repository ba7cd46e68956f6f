import { toBinary } from '@bufbuild/protobuf';
import { type StatusError, toStatusMessage } from '../../wire/grpc/status.ts';
import type { BuildResultInfo } from '../../wire/proto/gen/control/control_pb.ts';
import { StatusSchema } from '../../wire/proto/gen/google/rpc/status_pb.ts';
import type { RecordInit, ResultInfoInit } from './build-history.ts';
import type { ClientOutput } from './build-output.ts';
import type { TableEntry } from './build-table.ts';
import type { DaemonServices } from './daemon-services.ts';
import type { FrontendResult } from './frontend-result.ts';
import type { ClientSolve } from './solve-request.ts';
import type { StatusResponse } from './status-message.ts';

/** What is written down of one build while it runs. */
export interface BuildRecord {
  /** Takes what the build made, and what each exporter answered. */
  result(
    result: FrontendResult,
    output: ClientOutput,
    exported: readonly Readonly<Record<string, string>>[],
    signal: AbortSignal,
  ): Promise<void>;
  /** The build has ended well. */
  finish(): Promise<void>;
  /** The build has failed. */
  fail(error: StatusError): Promise<void>;
}

const IN_TOTO = 'application/vnd.in-toto+json';
/** Spelt so. */
const STATUS = 'application/vnd.googeapis.google.rpc.status+proto';

/** Begins to write a build down. */
export function recordBuild({ history }: DaemonServices, request: ClientSolve, { progress }: TableEntry): BuildRecord {
  const running = history.begin({
    Ref: request.ref,
    Frontend: request.frontend,
    FrontendAttrs: Object.fromEntries(request.frontendOptions),
    Exporters: request.exporters.map(({ type, attributes }) => ({ Type: type, Attrs: { ...attributes } })),
  });
  const log: StatusResponse[] = [];
  const following = (async () => {
    for await (const message of progress.follow(new AbortController().signal)) log.push(message);
  })();
  let told: RecordInit = {};

  async function end(how: RecordInit): Promise<void> {
    const { total, cached, completed, warnings } = progress.counts();
    progress.close();
    await following;
    running.finish(
      {
        ...told,
        ...how,
        numTotalSteps: total,
        numCachedSteps: cached,
        numCompletedSteps: completed,
        numWarnings: warnings,
      },
      log,
    );
  }

  return {
    async result({ metadata }, output, exported, signal) {
      const infos: (readonly [platform: string, info: ResultInfoInit])[] = [];
      const results = exportedResults(exported);
      for (const [index, { id }] of output.platforms.entries()) {
        const provenance = output.provenance(index);
        const text = await provenance?.predicate(signal);
        const blob = text === undefined ? undefined : running.addBlob(IN_TOTO, Buffer.from(text));
        const annotations = { 'in-toto.io/predicate-type': provenance?.predicateType ?? '' };
        infos.push([id, { ...results, Attestations: blob === undefined ? [] : [{ ...blob, annotations }] }]);
      }
      const [only] = infos;
      told = {
        ExporterResponse: Object.fromEntries(
          [...metadata].map(([key, value]) => [key, new TextDecoder().decode(value)]),
        ),
        ...(output.multiPlatform ? { Results: Object.fromEntries(infos) } : only ? { Result: only[1] } : {}),
      };
    },
    finish: () => end({}),
    async fail(error) {
      const whole = toStatusMessage(error);
      await end({
        error: { code: error.code, message: error.message },
        externalError: running.addBlob(STATUS, toBinary(StatusSchema, whole)),
      });
    },
  };
}

/** What exporters made, by their index in the request. */
function exportedResults(exported: readonly Readonly<Record<string, string>>[]): ResultInfoInit {
  const found = exported.flatMap((answers, index): (readonly [number, DescriptorInit])[] => {
    const encoded = answers['containerimage.descriptor'];
    if (encoded === undefined) return [];
    const { mediaType, digest, size, annotations } = JSON.parse(Buffer.from(encoded, 'base64').toString()) as {
      readonly mediaType: string;
      readonly digest: string;
      readonly size: number;
      readonly annotations?: Record<string, string>;
    };
    return [[index, { mediaType, digest, size: BigInt(size), annotations: annotations ?? {} }]];
  });
  const [first] = found;
  return {
    Results: Object.fromEntries(found),
    ...(first === undefined ? {} : { ResultDeprecated: first[1] }),
  };
}

type DescriptorInit = NonNullable<Exclude<ResultInfoInit, BuildResultInfo>['ResultDeprecated']>;
