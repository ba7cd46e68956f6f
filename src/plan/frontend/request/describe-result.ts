import { renderTable } from '../../dockerfile/text-table.ts';

interface DescribedRequest {
  readonly name: string;
  readonly version: string;
  readonly type: 'rpc';
  readonly description: string;
  readonly opts: readonly { readonly name: string; readonly description: string }[] | null;
  readonly inputs: null;
  readonly metadata: readonly { readonly name: string; readonly description: '' }[];
  readonly refs: null;
}

const RESULTS = [
  { name: 'result.json', description: '' },
  { name: 'result.txt', description: '' },
] as const;

function described(name: string, description: string, opts: DescribedRequest['opts']): DescribedRequest {
  return { name, version: '1.0.0', type: 'rpc', description, opts, inputs: null, metadata: RESULTS, refs: null };
}

/** The requests that BuildKit's frontend says it answers; it leaves out the check, and so do we. */
export const DESCRIBED_REQUESTS: readonly DescribedRequest[] = [
  described('frontend.outline', 'List all parameters current build target supports', [
    { name: 'target', description: 'Target build stage' },
  ]),
  described('frontend.targets', 'List all targets current build supports', []),
  described('frontend.subrequests.describe', 'List available subrequest types', null),
];

/** The text result of `--call=subrequests.describe`. */
export function renderRequests(): string {
  const rows = DESCRIBED_REQUESTS.map(({ name, version, description }) => [
    name.replace(/^frontend\./, ''),
    version,
    description,
  ]);
  return renderTable([['NAME', 'VERSION', 'DESCRIPTION'], ...rows], 1);
}
