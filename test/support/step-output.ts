import type { BuildEvent } from '../../src/engine/status/event.ts';

/** What the steps of a build printed, by name. */
export interface StepOutputs {
  note(event: BuildEvent): void;
  /** Empty for a step that printed nothing or did not run. */
  outputOf(name: string): string;
}

/** Gathers the output of steps out of a build's events. */
export function outputsByStep(): StepOutputs {
  const names = new Map<string, string>();
  const outputs = new Map<string, string>();
  return {
    note(event) {
      if (event.kind === 'vertex') names.set(event.digest, event.name);
      else if (event.kind === 'log')
        outputs.set(event.vertex, (outputs.get(event.vertex) ?? '') + Buffer.from(event.data));
    },
    outputOf(name) {
      for (const [digest, one] of names) {
        const output = outputs.get(digest);
        if (one === name && output !== undefined) return output;
      }
      return '';
    },
  };
}
