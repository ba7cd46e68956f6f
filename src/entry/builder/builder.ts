import type { EventSink, SourceInfo, SourceRange } from '../../engine/status/event.ts';
import type { BuildRequest, BuildResult } from './request.ts';

/** Builds what a request asks for: in this process, or on a BuildKit daemon. */
export interface Builder extends AsyncDisposable {
  /**
   * Runs a build to its end. Its events go to `emit` in the order in which they happened.
   * @throws BuildError when the build failed, BuildRequestError when it could not begin, AbortError when `signal` was
   * aborted; nothing runs any more then.
   */
  build(request: BuildRequest, emit: EventSink, signal: AbortSignal): Promise<BuildResult>;
  /**
   * Asks the frontend about the Dockerfile of a build and builds nothing.
   * @param requestID in BuildKit's names: `frontend.lint`, `frontend.outline`, `frontend.targets`, …
   * @returns what the frontend answered: `result.json`, `version`, most often `result.txt`, perhaps `result.statuscode`
   * @throws what `build` throws; an unknown request is a BuildError
   */
  call(
    request: BuildRequest,
    requestID: string,
    emit: EventSink,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>>;
}

/** A place in a file that an error is about. */
export interface ErrorSource {
  readonly info: SourceInfo;
  readonly ranges: readonly SourceRange[];
}

/** A build that failed. The message is one line, without the clients' "failed to solve: " in front. */
export class BuildError extends Error {
  override readonly name = 'BuildError';
  /** Where in the Dockerfile the failure lies. */
  readonly sources: readonly ErrorSource[];
  /** Further lines that help: near misses, what to do. */
  readonly hints: readonly string[];

  constructor(
    message: string,
    options: {
      readonly cause?: unknown;
      readonly sources?: readonly ErrorSource[];
      readonly hints?: readonly string[];
    } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.sources = options.sources ?? [];
    this.hints = options.hints ?? [];
  }
}
