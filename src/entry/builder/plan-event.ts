import type { PlanEvent } from '../../engine/status/event.ts';
import type { DockerfilePlan } from '../../plan/frontend/plan-dockerfile.ts';

/** What the Dockerfile became, for those who explain a build later. */
export function planEvent({ dockerfile: { filename, data }, platforms }: DockerfilePlan): PlanEvent {
  return {
    kind: 'plan',
    dockerfile: { filename, data, language: 'Dockerfile' },
    platforms: platforms.map(({ id, steps }) => ({ id, steps })),
  };
}
