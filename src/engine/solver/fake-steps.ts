/** Steps that only count, for tests of the solver. */
import { setImmediate as turn } from 'node:timers/promises';
import { digestOf } from '../../wire/oci/digest.ts';
import { memoryKeyStore } from '../cache/memory-key-store.ts';
import type { BuildEvent } from '../status/event.ts';
import type { KeyStore, LocalCache } from './cache.ts';
import type { Edge, Op, Vertex, VertexReporter } from './op.ts';
import { createSolver, type Job, type Solver } from './solver.ts';

export interface FakeInput {
  readonly step: FakeStep;
  readonly selector?: string;
  /** The step's key holds the content of the input. */
  readonly content?: boolean;
}

export interface FakeStep {
  readonly name: string;
  /** What the step does: the seed of its cache-map digest. */
  readonly does: string;
  readonly inputs: readonly FakeInput[];
  readonly ignoreCache?: boolean;
  /** How many different results there are of all steps: small numbers make equal contents. */
  readonly range?: number;
}

/** A step's result: a number that stands for its files. */
export interface FakeResult {
  readonly id: string;
  readonly value: number;
}

/** What the steps of a solver do beside counting. */
export interface FakeOptions {
  readonly keys?: KeyStore;
  readonly parallelism?: number;
  /** Called when a step runs, before it makes its result. */
  readonly exec?: (step: FakeStep, signal: AbortSignal, reporter: VertexReporter) => Promise<void>;
  readonly load?: (resultId: string) => Promise<void>;
  /** What a step makes of its inputs; without it always the same. */
  readonly value?: (step: FakeStep, inputs: readonly number[]) => number;
}

export interface FakeWorld {
  readonly solver: Solver<FakeResult>;
  readonly cache: LocalCache<FakeResult>;
  /** Results by id; deleting one is pruning it. */
  readonly results: Map<string, FakeResult>;
  /** Names of steps that ran, and of steps that computed the content of an input, since it was last emptied. */
  readonly ran: string[];
  readonly computed: string[];
  /** Calls of ops that have not ended. */
  readonly running: () => number;
  /** How many ops were made. */
  readonly opsMade: () => number;
  readonly edge: (step: FakeStep) => Edge;
  readonly open: (events?: BuildEvent[]) => Job<FakeResult>;
}

/** The result of a step whose inputs have these values. */
export function resultValue(step: FakeStep, inputs: readonly number[]): number {
  const seed = JSON.stringify([step.does, inputs]);
  return Number.parseInt(digestOf(seed).slice(7, 15), 16) % (step.range ?? 1_000_000_007);
}

/** A solver of fake steps, with a cache in memory unless `keys` is given. */
export function fakeWorld(options: FakeOptions = {}): FakeWorld {
  const results = new Map<string, FakeResult>();
  const ran: string[] = [];
  const computed: string[] = [];
  let running = 0;
  let ops = 0;
  let clock = 0n;
  let made = 0;

  const cache: LocalCache<FakeResult> = {
    id: 'local',
    keys: options.keys ?? memoryKeyStore(),
    results: {
      exists: id => results.has(id),
      async load(id) {
        await options.load?.(id);
        const result = results.get(id);
        if (result === undefined) throw new Error(`no result ${id}`);
        return result;
      },
      save(result) {
        results.set(result.id, result);
        return result.id;
      },
    },
  };

  const vertices = new Map<FakeStep, Vertex>();
  const steps = new Map<string, FakeStep>();

  function vertexOf(target: FakeStep): Vertex {
    const stack = [target];
    for (let step = stack.at(-1); step !== undefined; step = stack.at(-1)) {
      const below = step.inputs.filter(input => !vertices.has(input.step));
      if (below.length > 0) {
        for (const input of below) stack.push(input.step);
        continue;
      }
      stack.pop();
      if (vertices.has(step)) continue;
      const inputs = step.inputs.flatMap((input): Edge[] => {
        const vertex = vertices.get(input.step);
        return vertex === undefined ? [] : [{ vertex, output: 0 }];
      });
      const digest = digestOf(JSON.stringify([step.name, step.does, inputs.map(({ vertex }) => vertex.digest)]));
      vertices.set(step, { digest, name: step.name, inputs, ignoreCache: step.ignoreCache ?? false });
      steps.set(digest, step);
    }
    const vertex = vertices.get(target);
    if (vertex === undefined) throw new Error('no such step');
    return vertex;
  }

  async function counted<T>(work: () => Promise<T>): Promise<T> {
    running += 1;
    try {
      return await work();
    } finally {
      running -= 1;
    }
  }

  function opOf(vertex: Vertex, reporter: VertexReporter): Op<FakeResult> {
    const step = steps.get(vertex.digest);
    if (step === undefined) throw new Error('no such step');
    ops += 1;
    const deps = step.inputs.map((input, index) => ({
      ...(input.selector === undefined ? {} : { selector: digestOf(input.selector) }),
      ...(input.content
        ? {
            contentDigest: (result: FakeResult) =>
              counted(async () => {
                await turn();
                computed.push(`${step.name} ${index}`);
                const seen = `${input.selector} ${result.value}`;
                return { digest: digestOf(seen), parts: [{ kind: 'file', name: 'seen', value: seen }] };
              }),
          }
        : {}),
    }));
    const parts = [{ kind: 'command', name: 'does', value: step.does }];
    return {
      cacheMap: async () => ({ map: { digest: digestOf(step.does), parts, deps }, done: true }),
      exec: (inputs, signal) =>
        counted(async () => {
          ran.push(step.name);
          await turn();
          await options.exec?.(step, signal, reporter);
          made += 1;
          const value = (options.value ?? resultValue)(
            step,
            inputs.map(input => input.value),
          );
          return [{ id: `result ${made}`, value }];
        }),
    };
  }

  const solver = createSolver<FakeResult>({
    cache,
    parallelism: options.parallelism ?? 4,
    now: () => ++clock,
    resolveOp: opOf,
  });
  return {
    solver,
    cache,
    results,
    ran,
    computed,
    running: () => running,
    opsMade: () => ops,
    edge: step => ({ vertex: vertexOf(step), output: 0 }),
    open: events => solver.openJob({ emit: event => events?.push(event) }),
  };
}
