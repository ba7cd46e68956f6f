import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';

/** Turns messages into bytes and back. */
export interface Codec<In, Out = In> {
  encode(message: In): Uint8Array;
  /** Throws when the bytes are no such message. */
  decode(bytes: Uint8Array): Out;
}

/** A method as a call needs it: what it is named and how its messages travel. */
export interface Method<RequestIn, RequestOut, ResponseIn, ResponseOut> {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly request: Codec<RequestIn, RequestOut>;
  readonly response: Codec<ResponseIn, ResponseOut>;
}

/** The codec of a message type; takes what `create` takes. */
function messageCodec<M extends DescMessage>(schema: M): Codec<MessageInitShape<M>, MessageShape<M>> {
  return {
    encode: message => toBinary(schema, create(schema, message)),
    decode: bytes => fromBinary(schema, bytes),
  };
}

/** A method with the messages that its descriptor names. */
export function methodOf<I extends DescMessage, O extends DescMessage>(descriptor: {
  readonly input: I;
  readonly output: O;
  readonly name: string;
  readonly parent: { readonly typeName: string };
}): Method<MessageInitShape<I>, MessageShape<I>, MessageInitShape<O>, MessageShape<O>> {
  return {
    path: pathOf(descriptor),
    request: messageCodec(descriptor.input),
    response: messageCodec(descriptor.output),
  };
}

/** A method whose messages travel as a codec says rather than as its descriptor does. */
export function methodWith<T>(descriptor: Pick<DescMethod, 'name' | 'parent'>, codec: Codec<T>): Method<T, T, T, T> {
  return { path: pathOf(descriptor), request: codec, response: codec };
}

/** `/package.Service/Method`. */
export function pathOf(descriptor: { readonly name: string; readonly parent: { readonly typeName: string } }): string {
  return `/${descriptor.parent.typeName}/${descriptor.name}`;
}

/** Messages as the bytes they are. */
export const rawBytes: Codec<Uint8Array> = { encode: bytes => bytes, decode: bytes => bytes };
