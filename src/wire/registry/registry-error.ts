/**
 * What went wrong, as far as callers act on it: `unauthorized` (log in), `denied` (logged in, but not allowed), `not-found`,
 * `rate-limited`, `unavailable` (down, unreachable, silent, 5xx), `corrupt` (bytes that are not what their digest says),
 * `refused` (any other answer that no retry changes).
 */
export type RegistryErrorCode =
  | 'unauthorized'
  | 'denied'
  | 'not-found'
  | 'rate-limited'
  | 'unavailable'
  | 'corrupt'
  | 'refused';

interface RegistryErrorOptions {
  readonly host: string;
  readonly status?: number;
  readonly cause?: unknown;
}

/** An exchange with a registry that failed for good. The message is one line that says what to do where that is known. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  /** Registry host, with its port. */
  readonly host: string;
  /** HTTP status, if there was an answer. */
  readonly status: number | undefined;

  constructor(code: RegistryErrorCode, message: string, options: RegistryErrorOptions) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.host = options.host;
    this.status = options.status;
  }
}

/** Whether the failure says that the registry has no such thing. */
export function isNotFound(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'not-found';
}

/** `docker login HOST`, as it is typed; Docker Hub needs no host. */
export function loginCommand(host: string): string {
  return /(^|\.)docker\.io$/.test(host) ? 'docker login' : `docker login ${host}`;
}

/**
 * The error for an answer that is none of the accepted ones.
 * @param what what was asked for: `docker.io/library/alpine:latest`
 * @param detail the server's own words, if it had some
 */
export function statusError(
  request: { readonly host: string; readonly what: string; readonly push: boolean; readonly user: string | undefined },
  status: number,
  detail: string,
  attempts: number,
): RegistryError {
  const { host, what, push } = request;
  const said = detail === '' ? '' : ` (${detail})`;
  const options = { host, status };
  const access = `${push ? 'push' : 'pull'} access denied for ${what}`;
  const login = loginCommand(host);
  switch (status) {
    case 401:
      if (request.user !== undefined) {
        const message = `${access}: ${host} refused the credentials of ${request.user}, run "${login}" again${said}`;
        return new RegistryError('unauthorized', message, options);
      }
      return new RegistryError(
        'unauthorized',
        `${access}: it does not exist or needs authorization, run "${login}"${said}`,
        options,
      );
    case 403:
      return new RegistryError('denied', `${access}: the account has no right to it, check "${login}"${said}`, options);
    case 404:
      return new RegistryError('not-found', `${what}: not found`, options);
    case 429: {
      const hint = request.user === undefined ? `log in with "${login}" for a higher limit, or try later` : 'try later';
      return new RegistryError('rate-limited', `${host}: too many requests for ${what}, ${hint}${said}`, options);
    }
    default: {
      const tried = attempts > 1 ? `, ${attempts} attempts` : '';
      const code = status >= 500 ? 'unavailable' : 'refused';
      return new RegistryError(code, `${host} answered ${status} for ${what}${tried}${said}`, options);
    }
  }
}

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was cut',
  EPIPE: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  ENOTFOUND: 'no such host, check its name and the network',
  EAI_AGAIN: 'its name cannot be looked up, check the network',
  ENETUNREACH: 'no network',
  EHOSTUNREACH: 'no route to it',
  ETIMEDOUT: 'no answer',
  UND_ERR_CONNECT_TIMEOUT: 'no answer',
};

/** The error code that Node or undici gave, looked for through the causes. */
export function networkCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    if (at instanceof AggregateError) return networkCode(at.errors[0]);
  }
  return undefined;
}

/** The error for an exchange that had no answer, or whose answer broke off. */
export function networkError(
  host: string,
  what: string,
  silence: number,
  attempts: number,
  cause: unknown,
): RegistryError {
  const code = networkCode(cause) ?? '';
  const tried = attempts > 1 ? ` (${attempts} attempts)` : '';
  const options = { host, cause };
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    const message = `${host} sent nothing for ${silence / 1000} s, fetching ${what}${tried}`;
    return new RegistryError('unavailable', message, options);
  }
  if (isTlsCode(code)) {
    const detail = (cause instanceof Error ? cause.message : code).split('\n')[0];
    const hint = speaksPlainHttp(code, detail)
      ? `it speaks plain HTTP, set "http = true" for it in buildkitd.toml`
      : `its certificate is not trusted: ${detail}; set "ca" or "insecure" for it in buildkitd.toml`;
    return new RegistryError('unavailable', `cannot talk to ${host}: ${hint}`, options);
  }
  const reason = NETWORK[code] ?? (cause instanceof Error ? cause.message : String(cause)).split('\n')[0];
  return new RegistryError('unavailable', `cannot reach ${host} for ${what}: ${reason}${tried}`, options);
}

/** Whether the error is one of TLS, which no retry mends. */
export function isTlsCode(code: string): boolean {
  return /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH)/.test(code);
}

function speaksPlainHttp(code: string, detail: string | undefined): boolean {
  return /WRONG_VERSION_NUMBER|PACKET_LENGTH/i.test(code) || /wrong version number|packet length/i.test(detail ?? '');
}
