/** How calls end (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
export const Code = {
  ok: 0,
  canceled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** The number that travels. */
export type Code = (typeof Code)[keyof typeof Code];

const names = new Map(Object.entries(Code).map(([name, code]) => [code as number, name]));

/** Whether a number is one of the codes. */
export function isCode(value: number): value is Code {
  return names.has(value);
}

/** The name as BuildKit's programs print it: `NotFound`; `Code(99)` for a number that is none. */
export function codeName(code: number): string {
  const name = names.get(code);
  if (name === undefined) return `Code(${code})`;
  return code === Code.ok ? 'OK' : name[0]?.toUpperCase() + name.slice(1);
}
