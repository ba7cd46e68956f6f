import { serviceClient } from '../../wire/grpc/service-client.ts';
import { isDigest } from '../../wire/oci/digest.ts';
import { type BuildResultInfo, Control } from '../../wire/proto/gen/control/control_pb.ts';
import { remoteContent } from '../../wire/session/content/content-client.ts';
import type { RemoteConnection } from './remote-build.ts';

const PREDICATE_TYPE = 'in-toto.io/predicate-type';
const PROVENANCE = /^https:\/\/slsa\.dev\/provenance\//;

/**
 * What `--metadata-file` tells beside the exporters' answers: the build's id, and its provenance out of the daemon's history
 * as `BUILDX_METADATA_PROVENANCE` wants it (`min`, `max`, `disabled`). A daemon that keeps no history tells none.
 */
export async function remoteMetadata(
  { channel }: RemoteConnection,
  ref: string,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const response: Record<string, string> = { 'buildx.build.ref': `outcrop/outcrop/${ref}` };
  const mode = process.env['BUILDX_METADATA_PROVENANCE'] || 'min';
  if (mode !== 'min' && mode !== 'max') return response;
  const provenanceOf = async ({ Attestations }: BuildResultInfo): Promise<string | undefined> => {
    const found = Attestations.find(({ annotations }) => PROVENANCE.test(annotations[PREDICATE_TYPE] ?? ''));
    if (found === undefined || !isDigest(found.digest)) return undefined;
    const chunks: Uint8Array[] = [];
    for await (const chunk of remoteContent(channel).read(found.digest, 0, signal)) chunks.push(chunk);
    return Buffer.from(predicateText(Buffer.concat(chunks).toString(), mode)).toString('base64');
  };
  try {
    const events = serviceClient(Control, channel).listenBuildHistory({ Ref: ref, EarlyExit: true }, { signal });
    for await (const { record } of events) {
      if (record === undefined) continue;
      const results = Object.entries(record.Results);
      const only = record.Result && (await provenanceOf(record.Result));
      if (only !== undefined) response['buildx.build.provenance'] = only;
      for (const [platform, result] of results) {
        const provenance = await provenanceOf(result);
        const key = results.length > 1 ? `buildx.build.provenance/${platform}` : 'buildx.build.provenance';
        if (provenance !== undefined) response[key] = provenance;
      }
    }
  } catch {
    signal.throwIfAborted();
  }
  return response;
}

type Json = Readonly<Record<string, unknown>>;

interface Predicate extends Json {
  readonly buildDefinition?: { readonly internalParameters?: Json } & Json;
  readonly runDetails?: Json;
}

/** `min` is without the steps and the record of the run, in either version of the predicate. */
function predicateText(text: string, mode: 'min' | 'max'): string {
  // The history of some daemons has the predicate by itself.
  const statement: Predicate & { readonly predicate?: Predicate } = JSON.parse(text);
  const predicate: Predicate = statement.predicate ?? statement;
  if (mode === 'max') return JSON.stringify(predicate);
  const { buildConfig: _config, metadata: _metadata, buildDefinition, runDetails, ...rest } = predicate;
  const { buildConfig: _steps, ...internalParameters } = buildDefinition?.internalParameters ?? {};
  const { metadata: _run, ...details } = runDetails ?? {};
  return JSON.stringify({
    ...rest,
    ...(buildDefinition === undefined ? {} : { buildDefinition: { ...buildDefinition, internalParameters } }),
    ...(runDetails === undefined ? {} : { runDetails: details }),
  });
}
