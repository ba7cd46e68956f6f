import { create, toJsonString } from '@bufbuild/protobuf';
import { messageJson } from '../../engine/ops/message-json.ts';
import type { StatusDetail } from '../../wire/grpc/status.ts';
import {
  FrontendCapSchema,
  FrontendSchema,
  type Solve,
  SolveSchema,
  type Source,
  SourceSchema,
  SubrequestSchema,
  VertexSchema,
} from '../../wire/proto/gen/control/errdefs_pb.ts';
import { ExitMessageSchema } from '../../wire/proto/gen/control/gateway_pb.ts';

/** What BuildKit's clients are told of an error beside its text (control-api facts, 9.1). */
const PREFIX = 'github.com/moby/buildkit/';

/** The step that failed. */
export function vertexDetail(digest: string): StatusDetail {
  return errorDetail('errdefs.Vertex', messageJson(VertexSchema, create(VertexSchema, { digest })));
}

/** Where in a file of the client the failure lies. */
export function sourceDetail(source: Source): StatusDetail {
  return errorDetail('errdefs.Source', messageJson(SourceSchema, source));
}

/** What was solved, for those who want to look into the failed step. Empty when nothing is known. */
export function solveDetail(solve: Solve = create(SolveSchema)): StatusDetail {
  return errorDetail('errdefs.Solve', toJsonString(SolveSchema, solve));
}

/** How a process ended. */
export function exitDetail(code: number): StatusDetail {
  return errorDetail(
    'gatewayapi.ExitMessage',
    messageJson(ExitMessageSchema, create(ExitMessageSchema, { Code: code })),
  );
}

/** The frontend that failed. */
export function frontendDetail(name: string, source: string): StatusDetail {
  return errorDetail('errdefs.Frontend', messageJson(FrontendSchema, create(FrontendSchema, { name, source })));
}

/** What a client needs of a frontend and it lacks. */
export function frontendCapDetail(name: string): StatusDetail {
  return errorDetail('errdefs.FrontendCap', messageJson(FrontendCapSchema, create(FrontendCapSchema, { name })));
}

/** What a frontend was asked and does not answer. */
export function subrequestDetail(name: string): StatusDetail {
  return errorDetail('errdefs.Subrequest', messageJson(SubrequestSchema, create(SubrequestSchema, { name })));
}

/** @param type the name that BuildKit gives it, with its package */
export function errorDetail(type: string, json: string): StatusDetail {
  return { typeUrl: `${PREFIX}${type}+json`, value: Buffer.from(json) };
}
