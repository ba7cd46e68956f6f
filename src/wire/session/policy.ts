import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Channel } from '../grpc/channel.ts';
import { serviceClient } from '../grpc/service-client.ts';
import type { ResolveSourceMetaRequest, ResolveSourceMetaResponseSchema } from '../proto/gen/control/gateway_pb.ts';
import { type DecisionResponse, PolicyVerifier } from '../proto/gen/control/policysession_pb.ts';
import type { PlatformSchema } from '../proto/gen/pb/ops_pb.ts';
import { SessionError } from './session.ts';

/** What is known of a source whose use is to be decided. */
export type SourceMeta = MessageInitShape<typeof ResolveSourceMetaResponseSchema>;

/** A source whose use the client decides. */
export interface PolicyQuestion {
  readonly source: SourceMeta;
  readonly platform?: MessageInitShape<typeof PlatformSchema>;
  /** What the daemon can be asked to find out. */
  readonly capabilities: readonly string[];
}

const MOST_QUESTIONS = 10;

/** How often a client may still be asked on the way to one decision. */
export interface PolicyBudget {
  left: number;
}

/** The budget of a decision that begins. */
export function policyBudget(): PolicyBudget {
  return { left: MOST_QUESTIONS };
}

/**
 * Asks the client whether a source may be used, finding out more of it while the client wants to know more.
 * @param resolve finds out what the client wants to know of the source
 * @throws SessionError when the client goes on asking or does not decide, StatusError, and what `resolve` throws
 */
export async function checkPolicy(
  channel: Channel,
  question: PolicyQuestion,
  resolve: (request: ResolveSourceMetaRequest) => Promise<SourceMeta>,
  signal: AbortSignal,
  budget: PolicyBudget = policyBudget(),
): Promise<DecisionResponse> {
  const client = serviceClient(PolicyVerifier, channel);
  const caps = Object.fromEntries(question.capabilities.map(capability => [capability, true]));
  let { source } = question;
  while (budget.left > 0) {
    budget.left--;
    const platform = question.platform === undefined ? {} : { Platform: question.platform };
    const { result } = await client.checkPolicy({ ...platform, Source: source, caps }, { signal });
    if (result.case === 'decision') return result.value;
    if (result.case === undefined) throw new SessionError('the client gave no decision on the source');
    source = await resolve(result.value);
  }
  throw new SessionError('too many policy requests');
}
