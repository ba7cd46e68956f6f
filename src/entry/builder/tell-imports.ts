import type { RemoteImport } from '../../engine/cache/remote/import.ts';
import { recordDigest } from '../../engine/solver/key.ts';
import type { EventSink } from '../../engine/status/event.ts';

/** Says of each step that ran which imported caches know it: a key without a result was exported without its layers. */
export function tellImports(emit: EventSink, imports: () => readonly RemoteImport[]): EventSink {
  const definitions = new Map<string, string>();
  return event => {
    if (event.kind === 'key' && event.input === undefined) definitions.set(event.vertex, event.digest);
    const definition = event.kind === 'outcome' && event.outcome === 'ran' ? definitions.get(event.vertex) : undefined;
    if (event.kind !== 'outcome' || definition === undefined) {
      emit(event);
      return;
    }
    const known = imports().flatMap(({ id, knows }) => {
      const what = knows(recordDigest(definition, 0));
      return what === undefined ? [] : [{ cache: id, what }];
    });
    emit(known.length === 0 ? event : { ...event, known });
  };
}
