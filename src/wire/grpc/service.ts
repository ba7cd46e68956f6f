import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { Code } from './code.ts';
import type { Metadata, MetadataInit } from './metadata.ts';
import { type Method, methodOf } from './method.ts';
import { StatusError } from './status.ts';

/** A call as the one who answers it sees it. */
export interface ServerCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** What the caller sent, without the pseudo-headers of HTTP/2. */
  readonly metadata: Metadata;
  /** Aborted when the caller cancels, goes away, or its deadline has passed; also once the call has ended. */
  readonly signal: AbortSignal;
  /** Sends the response headers now rather than with the first message. Has no effect once they are sent. */
  sendHeaders(metadata?: MetadataInit): void;
}

/** Answers a method; takes the requests as they come and gives the responses. */
export interface Route {
  readonly path: string;
  /** Whether there may be more or fewer responses than one. */
  readonly answersMany: boolean;
  run(requests: AsyncIterable<Uint8Array>, call: ServerCall): AsyncIterable<Uint8Array>;
}

type Handler<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, call: ServerCall) => Promise<MessageInitShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: ServerCall) => AsyncIterable<MessageInitShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, call: ServerCall) => Promise<MessageInitShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageShape<I>>, call: ServerCall) => AsyncIterable<MessageInitShape<O>>
          : never;

/** The answers to some or all methods of a service. */
export type ServiceImplementation<S extends DescService> = {
  readonly [P in keyof S['method']]?: Handler<S['method'][P]>;
};

/** The routes of the methods of a service that are implemented. */
export function serviceRoutes<S extends DescService>(service: S, implementation: ServiceImplementation<S>): Route[] {
  const routes: Route[] = [];
  for (const descriptor of service.methods) {
    const handler: unknown = (implementation as Record<string, unknown>)[descriptor.localName];
    if (typeof handler === 'function') routes.push(descriptorRoute(descriptor, handler.bind(implementation)));
  }
  return routes;
}

type AnyHandler = (request: unknown, call: ServerCall) => Promise<never> | AsyncIterable<never>;

function descriptorRoute(descriptor: DescMethod, handler: AnyHandler): Route {
  const takesOne = descriptor.methodKind === 'unary' || descriptor.methodKind === 'server_streaming';
  const answersMany = descriptor.methodKind === 'server_streaming' || descriptor.methodKind === 'bidi_streaming';
  const route = streamRoute(methodOf(descriptor), async function* (requests, call) {
    const answer = handler(takesOne ? await onlyRequest(requests) : requests, call);
    if (Symbol.asyncIterator in answer) yield* answer;
    else yield await answer;
  });
  return { ...route, answersMany };
}

/** A route whose requests and responses are streams. */
export function streamRoute<RI, RO, SI, SO>(
  method: Method<RI, RO, SI, SO>,
  handler: (requests: AsyncIterable<RO>, call: ServerCall) => AsyncIterable<SI>,
): Route {
  return {
    path: method.path,
    answersMany: true,
    async *run(requests, call) {
      const responses = handler(decoded(requests, method.request.decode), call);
      for await (const response of responses) yield method.response.encode(response);
    },
  };
}

async function* decoded<T>(messages: AsyncIterable<Uint8Array>, decode: (bytes: Uint8Array) => T): AsyncGenerator<T> {
  for await (const bytes of messages) yield decodeMessage(bytes, decode);
}

/** Decodes a message. Throws StatusError. */
export function decodeMessage<T>(bytes: Uint8Array, decode: (bytes: Uint8Array) => T): T {
  try {
    return decode(bytes);
  } catch (cause) {
    throw new StatusError(
      Code.internal,
      `grpc: failed to unmarshal the received message: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}

async function onlyRequest(requests: AsyncIterable<unknown>): Promise<unknown> {
  for await (const request of requests) return request;
  throw new StatusError(Code.internal, 'the request has no message');
}
