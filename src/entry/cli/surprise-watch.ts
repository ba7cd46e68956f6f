import type { EventSink } from '../../engine/status/event.ts';

/** Whether a build did anything that could be a surprise: a step ran, or a result came from an imported cache. */
export interface SurpriseWatch {
  readonly sink: EventSink;
  readonly isWorthALook: () => boolean;
}

/** Watches a build; a build with nothing to do need not be explained. */
export function surpriseWatch(sink: EventSink): SurpriseWatch {
  let found = false;
  return {
    sink(event) {
      if (event.kind === 'outcome') {
        const { outcome, record = '', cache = 'local' } = event;
        // The context and the Dockerfile are read anew by every build.
        found ||= outcome === 'ran' ? !record.startsWith('random:') : outcome === 'hit' && cache !== 'local';
      }
      sink(event);
    },
    isWorthALook: () => found,
  };
}
