/** The list of builds that `outcrop report --serve` begins with. */
import type { BuildSummary } from '../history/build-record.ts';
import { escaped, htmlPage, statusBadge } from './page.ts';
import { buildsScript } from './page-assets.ts';

/** A build, and the one before it of the same Dockerfile and context, if there is one. */
export interface ListedBuild {
  readonly build: BuildSummary;
  readonly before: number | undefined;
}

/** The page. @param now milliseconds since the epoch */
export function buildsPage(builds: readonly ListedBuild[], now: number): string {
  return htmlPage(
    'Builds · outcrop',
    `<header class="plain">
<div class="title"><h1>Builds</h1><span class="context">of this machine, newest first</span><span id="lost" class="badge bad" hidden>no answer: is outcrop report --serve still running?</span></div>
</header>
<main class="list">
<div class="page">
<table class="builds">
<thead><tr><th>Build</th><th>When</th><th>Status</th><th>Took</th><th>Ran</th><th>Image</th><th>Context</th><th></th></tr></thead>
<tbody>${buildRows(builds, now)}</tbody>
</table>
</div>
</main>
<script type="module">
${buildsScript}</script>
`,
    "; connect-src 'self'",
  );
}

/** The rows of the page. @param now milliseconds since the epoch */
export function buildRows(builds: readonly ListedBuild[], now: number): string {
  if (builds.length === 0) return '<tr><td colspan="8">Nothing was built yet.</td></tr>';
  return builds.map(one => rowOf(one, now)).join('\n');
}

function rowOf({ build, before }: ListedBuild, now: number): string {
  const { number, status, startedAt, duration, counts, options, context } = build;
  const isRunning = status === 'running';
  const took = duration ?? (isRunning ? now - startedAt : undefined);
  const name = isRunning ? String(number) : `<a href="/build/${number}">${number}</a>`;
  const beside =
    before === undefined || isRunning ? '' : `<a href="/build/${number}?against=${before}">against ${before}</a>`;
  const ran = counts === undefined ? '' : `${counts.ran} of ${counts.steps}`;
  const cells = [
    name,
    `<span title="${new Date(startedAt).toISOString()}">${ago(now - startedAt)}</span>`,
    statusBadge(status),
    took === undefined ? '' : `${(took / 1000).toFixed(1)} s`,
    ran,
    escaped((options.tags ?? []).join(', ')),
    `<span class="path" title="${escaped(context)}">${escaped(context)}</span>`,
    beside,
  ];
  return `<tr>${cells.map(cell => `<td>${cell}</td>`).join('')}</tr>`;
}

function ago(milliseconds: number): string {
  const minutes = Math.max(0, milliseconds) / 60_000;
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${Math.floor(minutes)} min ago`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h ago` : `${Math.floor(minutes / 1440)} days ago`;
}
