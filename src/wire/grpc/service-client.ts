import type {
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Channel } from './channel.ts';
import type { CallOptions, ClientCall } from './client-call.ts';
import { Code } from './code.ts';
import { methodOf } from './method.ts';
import { StatusError } from './status.ts';

type Caller<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => ClientCall<MessageShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => ClientCall<MessageShape<O>>
          : never;

/** The methods of a service, to be called. */
export type ServiceClient<S extends DescService> = { readonly [P in keyof S['method']]: Caller<S['method'][P]> };

/** The methods of a service over a channel. Calls fail with StatusError. */
export function serviceClient<S extends DescService>(service: S, channel: Channel): ServiceClient<S> {
  const client: Record<string, unknown> = {};
  for (const descriptor of service.methods) {
    const method = methodOf(descriptor);
    switch (descriptor.methodKind) {
      case 'unary':
        client[descriptor.localName] = (request: never, options?: CallOptions) =>
          channel.unary(method, request, options);
        break;
      case 'server_streaming':
        client[descriptor.localName] = (request: never, options?: CallOptions) =>
          channel.stream(method, [request], options);
        break;
      case 'client_streaming':
        client[descriptor.localName] = async (requests: AsyncIterable<never>, options?: CallOptions) => {
          for await (const response of channel.stream(method, requests, options)) return response;
          throw new StatusError(Code.internal, 'the call succeeded without a response');
        };
        break;
      case 'bidi_streaming':
        client[descriptor.localName] = (requests: AsyncIterable<never>, options?: CallOptions) =>
          channel.stream(method, requests, options);
        break;
    }
  }
  return client as ServiceClient<S>;
}
