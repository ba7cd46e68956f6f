import { first, type Metadata, type MetadataInit } from '../grpc/metadata.ts';

const NAMES = {
  id: 'x-docker-expose-session-uuid',
  sharedKey: 'x-docker-expose-session-sharedkey',
  method: 'x-docker-expose-session-grpc-method',
  healthTimeout: 'x-buildkit-session-health-custom-timeout',
} as const;

/** What a client says of its session when it opens it. */
export interface SessionOffer {
  readonly id: string;
  /** Of the client's directory, stable; finds what an earlier session sent. May be empty. */
  readonly sharedKey: string;
  /** `/package.Service/Method` of all that is served. */
  readonly methods: readonly string[];
  /** Milliseconds between health checks and for each, if the client wants others than usual. */
  readonly healthTimeout?: number;
}

/** The metadata (or HTTP headers) that open a session. */
export function sessionHeaders({ id, sharedKey, methods, healthTimeout }: SessionOffer): MetadataInit {
  return [
    [NAMES.id, id],
    [NAMES.sharedKey, sharedKey],
    [NAMES.method, methods],
    ...(healthTimeout === undefined ? [] : [[NAMES.healthTimeout, String(healthTimeout)] as const]),
  ];
}

/** Reads what a client says of its session. */
export function readSessionHeaders(metadata: Metadata): SessionOffer {
  const timeout = Number(first(metadata, NAMES.healthTimeout));
  return {
    id: first(metadata, NAMES.id) ?? '',
    sharedKey: first(metadata, NAMES.sharedKey) ?? '',
    methods: metadata.get(NAMES.method) ?? [],
    ...(Number.isInteger(timeout) && timeout > 0 ? { healthTimeout: timeout } : {}),
  };
}
