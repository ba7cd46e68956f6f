import type { LineRange } from '../dockerfile/source.ts';

/** Takes what build checks find. */
export interface PlanLint {
  /**
   * @param rule its name, as in `# check=skip=<rule>`
   * @param comments those before the instruction, which may hold a `check=…` of their own
   */
  report(rule: string, message: string, lines: LineRange | undefined, comments?: readonly string[]): void;
}
