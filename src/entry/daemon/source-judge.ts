import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { messageJson } from '../../engine/ops/message-json.ts';
import { canonicalIdentifier, type SourcePolicy } from '../../engine/source/source-policy.ts';
import { parseOp } from '../../plan/llb/load.ts';
import { Code } from '../../wire/grpc/code.ts';
import { StatusError } from '../../wire/grpc/status.ts';
import type { ResolveSourceMetaRequest } from '../../wire/proto/gen/control/gateway_pb.ts';
import { type DecisionResponse, DecisionResponseSchema } from '../../wire/proto/gen/control/policysession_pb.ts';
import { PolicyAction } from '../../wire/proto/gen/control/sourcepolicy_pb.ts';
import type { Definition, PlatformSchema } from '../../wire/proto/gen/pb/ops_pb.ts';
import { checkPolicy, type PolicyBudget, policyBudget, type SourceMeta } from '../../wire/session/policy.ts';
import type { Session } from '../../wire/session/session.ts';
import { llbCapabilities } from './capabilities.ts';
import { errorDetail } from './error-details.ts';

/** A source as graphs name it. */
type NamedSource = ReturnType<SourcePolicy>;

type Wanted = MessageInitShape<typeof PlatformSchema>;

/** What a judge asks of others. */
export interface SourceJudgeOptions {
  /** The session whose client decides; undefined where none does. */
  readonly session: ((signal: AbortSignal) => Promise<Pick<Session, 'channel'>>) | undefined;
  /** Finds out what the client wants to know of a source, without asking it again. */
  readonly resolve: (request: ResolveSourceMetaRequest, signal: AbortSignal) => Promise<SourceMeta>;
}

/** Decides which sources a build may have: by its policies, then by the word of its client, where that wants to be asked. */
export interface SourceJudge {
  /**
   * The source to take in place of another.
   * @throws SourcePolicyError and StatusError for one that is denied, SessionError when the client gives no decision
   */
  judge(
    source: NamedSource,
    platform: Wanted | undefined,
    policy: SourcePolicy,
    signal: AbortSignal,
  ): Promise<NamedSource>;
  /** What loading a graph then takes for each of its sources. Throws what `judge` does. */
  judgeAll(definition: Definition, policy: SourcePolicy, signal: AbortSignal): Promise<SourcePolicy>;
}

/** The judge of one build. */
export function createSourceJudge({ session, resolve }: SourceJudgeOptions): SourceJudge {
  async function decide(
    source: NamedSource,
    platform: Wanted | undefined,
    policy: SourcePolicy,
    budget: PolicyBudget,
    signal: AbortSignal,
  ): Promise<NamedSource> {
    const allowed = policy(source);
    if (session === undefined) return allowed;
    const { channel } = await session(signal);
    const named = { identifier: canonicalIdentifier(allowed), attrs: allowed.attrs };
    const question = {
      source: { Source: named },
      capabilities: llbCapabilities.flatMap(({ ID }) => (ID === undefined ? [] : [ID])),
      ...(platform === undefined ? {} : { platform }),
    };
    const find = async (request: ResolveSourceMetaRequest): Promise<SourceMeta> => {
      requireSame(named, request.Source);
      return await resolve(request, signal);
    };
    const decision = await checkPolicy(channel, question, find, signal, budget);
    if (decision.action === PolicyAction.ALLOW) return allowed;
    if (decision.action !== PolicyAction.CONVERT) throw denied(named.identifier, decision);
    const { update } = decision;
    if (update === undefined) throw unknown('convert action requires updated source');
    return decide({ identifier: update.identifier, attrs: update.attrs }, platform, policy, budget, signal);
  }

  const judge: SourceJudge['judge'] = (source, platform, policy, signal) =>
    decide(source, platform, policy, policyBudget(), signal);

  return {
    judge,
    async judgeAll(definition, policy, signal) {
      if (session === undefined) return policy;
      const decisions = new Map<string, Promise<NamedSource>>();
      for (const bytes of definition.def) {
        const { op, platform } = parseOp(bytes);
        if (op.case !== 'source') continue;
        const { identifier, attrs } = op.value;
        const key = keyOf({ identifier, attrs }, platform);
        if (!decisions.has(key)) decisions.set(key, judge({ identifier, attrs }, platform, policy, signal));
      }
      const decided = new Map<string, NamedSource>();
      await Promise.all([...decisions].map(async ([key, decision]) => decided.set(key, await decision)));
      return (source, platform) => {
        const taken = decided.get(keyOf(source, platform));
        if (taken === undefined) throw unknown(`no decision on source ${JSON.stringify(source.identifier)}`);
        return taken;
      };
    },
  };
}

function keyOf({ identifier, attrs }: NamedSource, platform: Wanted | undefined): string {
  const { OS, Architecture, Variant, OSVersion, OSFeatures } = platform ?? {};
  return JSON.stringify([identifier, Object.entries(attrs).sort(), OS, Architecture, Variant, OSVersion, OSFeatures]);
}

/** A client that is asked about one source may not look at another with the rights of the daemon. */
function requireSame(asked: NamedSource, wanted: Partial<NamedSource> | undefined): void {
  const identifier = wanted?.identifier ?? '';
  if (identifier !== asked.identifier) {
    const [ours, theirs] = [JSON.stringify(asked.identifier), JSON.stringify(identifier)];
    throw unknown(`policy requested different source identifier: ${theirs} != ${ours}`);
  }
  const entries = ({ attrs = {} }: Partial<NamedSource>) => JSON.stringify(Object.entries(attrs).sort());
  if (entries(asked) !== entries(wanted ?? {})) throw unknown('policy requested different source attrs');
}

function denied(identifier: string, decision: DecisionResponse): StatusError {
  const { action: said, denyMessages } = decision;
  const action = said === PolicyAction.DENY ? 'DENY' : String(said);
  const detail = messageJson(DecisionResponseSchema, create(DecisionResponseSchema, { action: said, denyMessages }));
  return new StatusError(Code.unknown, `source ${JSON.stringify(identifier)} not allowed by policy: action ${action}`, {
    details: [errorDetail('policysession.DecisionResponse', detail)],
  });
}

function unknown(message: string): StatusError {
  return new StatusError(Code.unknown, message);
}
