import type { EventSink, Timestamp } from '../status/event.ts';

/** Says under an exporter's vertex what it is doing. */
export interface ExportProgress {
  /** Runs one phase of the export, `exporting layers`, and shows how long it took. */
  step<T>(id: string, work: (advance: (current: number, total?: number) => void) => Promise<T>): Promise<T>;
}

/** The phases of the exporter whose vertex has this digest. */
export function createExportProgress(vertex: string, emit: EventSink, now: () => Timestamp): ExportProgress {
  return {
    async step(id, work) {
      const started = now();
      let bytes = { current: 0, total: 0 };
      const say = (completed?: Timestamp) =>
        emit({
          kind: 'status',
          id,
          vertex,
          name: '',
          ...bytes,
          timestamp: now(),
          started,
          ...(completed === undefined ? {} : { completed }),
        });
      say();
      const result = await work((current, total = 0) => {
        bytes = { current, total };
        say();
      });
      say(now());
      return result;
    },
  };
}
