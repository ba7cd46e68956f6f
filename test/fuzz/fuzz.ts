import { startCpuTimer } from '../support/cpu-timer.ts';
import { checkGrowth, generateGrowth } from './growth.ts';
import { randomOf } from './random.ts';
import { SUBJECTS } from './subjects.ts';

/** One case of a run. */
export interface Case {
  readonly subject: string;
  /** The text, or the piece and its reader as JSON. */
  readonly input: Buffer;
  /** Throws for what is wrong with the reader, not with the text. */
  run(): void | Promise<void>;
}

/** How often growth is measured, which takes long. */
const GROWTH_EVERY = 40;
/** Milliseconds of the processor. Texts are short, so that nothing takes nearly that long. */
const SLOW = 1000;

/** The case with the number `index` of the run that `seed` determines. */
export function caseOf(seed: number, index: number): Case {
  const random = randomOf(seed, index);
  if (index % GROWTH_EVERY === GROWTH_EVERY - 1) {
    const growth = generateGrowth(random);
    return { subject: 'growth', input: Buffer.from(JSON.stringify(growth)), run: () => void checkGrowth(growth) };
  }
  const subject = SUBJECTS[index % SUBJECTS.length];
  if (subject === undefined) throw new Error('there is nothing to fuzz');
  const input = subject.generate(random);
  return { subject: subject.name, input, run: () => inTime(() => subject.run(input)) };
}

/** What is slow twice is slow. */
async function inTime(run: () => void | Promise<void>): Promise<void> {
  if ((await timeOf(run)) < SLOW) return;
  const again = await timeOf(run);
  if (again >= SLOW) throw new Error(`takes ${Math.round(again)} ms`);
}

async function timeOf(run: () => void | Promise<void>): Promise<number> {
  const taken = startCpuTimer();
  await run();
  return taken();
}
