/** A build that the legacy builder gives up, with its own words. */
export class LegacyBuildError extends Error {
  override readonly name = 'LegacyBuildError';
  /** What the client exits with: the code of a step that failed, else 1. */
  readonly exitCode: number;
  /** Whether the request was refused before anything ran, which clients show as `Error response from daemon: …`. */
  readonly isRefusal: boolean;

  constructor(message: string, options: ErrorOptions & { exitCode?: number; isRefusal?: boolean } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? 1;
    this.isRefusal = options.isRefusal ?? false;
  }
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
