import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { Code } from '../../grpc/code.ts';
import { first } from '../../grpc/metadata.ts';
import { type Route, type ServerCall, serviceRoutes } from '../../grpc/service.ts';
import { StatusError } from '../../grpc/status.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import {
  Content,
  type InfoSchema,
  type StatusSchema,
  WriteAction,
  type WriteContentRequest,
  type WriteContentResponseSchema,
} from '../../proto/gen/containerd/content_pb.ts';
import type { BlobInfo, BlobIngest, BlobStore, IngestStatus } from './blob-store.ts';

/** Names the store that a call of the session is about. */
export const STORE_ID = 'buildkit-attachable-store-id';

/** The most bytes of a blob that go into one message. */
const CHUNK = 1024 * 1024;
const LIST_BATCH = 100;

/** Chooses a store by the id that a call names. Throws StatusError for a call without one, or for one that is not there. */
export function storeById(stores: (id: string) => BlobStore | undefined): (call: ServerCall) => BlobStore {
  return ({ metadata }) => {
    const id = first(metadata, STORE_ID);
    if (id === undefined)
      throw new StatusError(Code.invalidArgument, `request lacks metadata "${STORE_ID}": invalid argument`);
    const store = stores(id);
    if (store === undefined) throw new StatusError(Code.notFound, `unknown store ${id}: not found`);
    return store;
  };
}

/** containerd's content service. @param storeOf the store that a call is about; may throw StatusError */
export function contentRoutes(storeOf: (call: ServerCall) => BlobStore): Route[] {
  const writing = (call: ServerCall): NonNullable<BlobStore['writing']> => {
    const found = storeOf(call).writing;
    if (found === undefined)
      throw new StatusError(Code.unknown, 'rpc error: code = Unknown desc = read-only content store');
    return found;
  };
  const existing = async (call: ServerCall, text: string): Promise<BlobInfo> => {
    const found = await storeOf(call).info(parseDigest(text));
    if (found === undefined) throw notFound(`content ${text}`);
    return found;
  };

  return serviceRoutes(Content, {
    info: async ({ digest }, call) => ({ info: infoMessage(await existing(call, digest)) }),
    // Labels are of no use to those who ask for them to be set; a plain store has none.
    update: async ({ info }, call) => ({ info: infoMessage(await existing(call, info?.digest ?? '')) }),
    list: async function* (_request, call) {
      let batch: BlobInfo[] = [];
      for await (const info of storeOf(call).list()) {
        batch.push(info);
        if (batch.length < LIST_BATCH) continue;
        yield { info: batch.map(infoMessage) };
        batch = [];
      }
      if (batch.length > 0) yield { info: batch.map(infoMessage) };
    },
    delete: async ({ digest }, call) => {
      if (!(await writing(call).delete(parseDigest(digest)))) throw notFound(`content ${digest}`);
      return {};
    },
    read: async function* (request, call) {
      const { digest, size } = await existing(call, request.digest);
      const [offset, wanted] = [Number(request.offset), Number(request.size)];
      if (offset > size) throw new StatusError(Code.outOfRange, `read past object length ${size} bytes`);
      const length = wanted <= 0 ? size - offset : Math.min(wanted, size - offset);
      let sent = 0;
      for await (const bytes of storeOf(call).read(digest, offset, length)) {
        for (let at = 0; at < bytes.length; at += CHUNK) {
          const data = bytes.subarray(at, at + CHUNK);
          // Counts from where this request began, as containerd has it.
          yield { offset: BigInt(sent), data };
          sent += data.length;
        }
      }
    },
    status: async ({ ref }, call) => {
      const status = await writing(call).status(ref);
      if (status === undefined) throw notFound(`ingest ref ${ref}`);
      return { status: statusMessage(status) };
    },
    listStatuses: async (_request, call) => ({ statuses: (await writing(call).list()).map(statusMessage) }),
    abort: async ({ ref }, call) => {
      if (!(await writing(call).abort(ref))) throw notFound(`ingest ref ${ref}`);
      return {};
    },
    write: async function* (requests, call) {
      const store = storeOf(call);
      const ingests = writing(call);
      let ingest: BlobIngest | undefined;
      try {
        const known = { total: 0, expected: '' };
        for await (const request of requests) {
          if (ingest === undefined) {
            if (request.ref === '')
              throw new StatusError(Code.invalidArgument, 'first message must have a reference: invalid argument');
            ingest = await ingests.open(request.ref);
            if (ingest === undefined) throw new StatusError(Code.unavailable, `ref ${request.ref} locked: unavailable`);
          }
          await learn(request, known, store);
          const answer = await writeRequest(request, ingest, known);
          yield answer;
          if (request.action === WriteAction.COMMIT) return;
        }
      } finally {
        await ingest?.[Symbol.asyncDispose]();
      }
    },
  });
}

/** Takes in what a request says of the blob as a whole. */
async function learn(
  request: WriteContentRequest,
  known: { total: number; expected: string },
  store: BlobStore,
): Promise<void> {
  if (request.total > 0n) {
    const total = Number(request.total);
    if (known.total > 0 && known.total !== total)
      throw new StatusError(Code.failedPrecondition, `commit size ${total} differs from ${known.total}`);
    known.total = total;
  }
  if (request.expected === '' || request.expected === known.expected) return;
  if (known.expected !== '')
    throw new StatusError(
      Code.failedPrecondition,
      `commit digest differs from writer digest: ${request.expected} != ${known.expected}`,
    );
  known.expected = request.expected;
  if ((await store.info(parseDigest(request.expected))) === undefined) return;
  await store.writing?.abort(request.ref);
  throw new StatusError(Code.alreadyExists, `blob with expected digest ${request.expected} exists: already exists`);
}

async function writeRequest(
  request: WriteContentRequest,
  ingest: BlobIngest,
  known: { readonly total: number; readonly expected: string },
): Promise<MessageInitShape<typeof WriteContentResponseSchema>> {
  const { action, data } = request;
  if (action !== WriteAction.STAT) {
    const [offset, current] = [Number(request.offset), ingest.status.offset];
    if (offset > 0 && offset !== current)
      throw new StatusError(Code.outOfRange, `write @${offset} must occur at current offset ${current}: out of range`);
    if (offset === 0 && current > 0) await ingest.truncate();
    if (data.length > 0) await ingest.append(data);
  }
  const digest = ingest.digest();
  const { offset, startedAt, updatedAt } = ingest.status;
  if (action === WriteAction.COMMIT) {
    if (known.total > 0 && known.total !== offset)
      throw new StatusError(
        Code.failedPrecondition,
        `unexpected commit size ${offset}, expected ${known.total}: failed precondition`,
      );
    if (known.expected !== '' && known.expected !== digest)
      throw new StatusError(
        Code.failedPrecondition,
        `unexpected commit digest ${digest}, expected ${known.expected}: failed precondition`,
      );
    await ingest.commit();
  }
  return {
    action,
    startedAt: timestampFromDate(startedAt),
    updatedAt: timestampFromDate(updatedAt),
    offset: BigInt(offset),
    total: BigInt(known.total),
    digest,
  };
}

function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new StatusError(
    Code.invalidArgument,
    `${JSON.stringify(text)} failed validation: invalid checksum digest format`,
  );
}

function notFound(what: string): StatusError {
  return new StatusError(Code.notFound, `${what}: not found`);
}

function infoMessage({ digest, size, createdAt, updatedAt, labels }: BlobInfo): MessageInitShape<typeof InfoSchema> {
  return {
    digest,
    size: BigInt(size),
    ...(createdAt === undefined ? {} : { createdAt: timestampFromDate(createdAt) }),
    ...(updatedAt === undefined ? {} : { updatedAt: timestampFromDate(updatedAt) }),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
  };
}

function statusMessage({ ref, offset, startedAt, updatedAt }: IngestStatus): MessageInitShape<typeof StatusSchema> {
  return {
    ref,
    offset: BigInt(offset),
    startedAt: timestampFromDate(startedAt),
    updatedAt: timestampFromDate(updatedAt),
  };
}
