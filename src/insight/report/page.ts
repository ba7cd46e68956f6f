/** The report of a build: one page of HTML that needs nothing else. */

import { pageScript, pageStyle } from './page-assets.ts';
import type { ReportData } from './report-data.ts';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** A text as it stands in HTML. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, character => ENTITIES[character] ?? '');
}

const STATUSES: Readonly<Record<string, string>> = { done: 'hit', failed: 'bad', running: 'ran' };
const TABS = ['Steps', 'Timeline', 'Graph', 'Build'];

/** How a build ended, as a badge. */
export function statusBadge(status: string): string {
  return `<span class="badge ${STATUSES[status] ?? 'off'}">${escaped(status)}</span>`;
}

/** A page of the report's look. @param policy what may be loaded besides what stands in the page */
export function htmlPage(title: string, body: string, policy = ''): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'${policy}">
<title>${escaped(title)}</title>
<style>
${pageStyle}</style>
</head>
<body>
${body}</body>
</html>
`;
}

/** A page that shows a build in any browser, and loads nothing. @param home where a list of builds is, if there is one */
export function reportPage(data: ReportData, home?: string): string {
  const { build, past } = data;
  // No text of a build can end the element that it stands in.
  const json = JSON.stringify(data).replaceAll('<', '\\u003c');
  const tabs = TABS.map(
    name => `<button role="tab" id="${name.toLowerCase()}" aria-selected="false" aria-controls="view">${name}</button>`,
  );
  const against = past === undefined ? '' : ` against build ${past.number}`;
  const title = `Build ${build.number}${against}`;
  const name = home === undefined ? escaped(title) : `<a href="${home}" title="all builds">‹</a> ${escaped(title)}`;
  return htmlPage(
    `${title} · outcrop`,
    `<header>
<div class="title"><h1>${name}</h1>${statusBadge(build.status)}<span class="context" title="${escaped(build.context)}">${escaped(build.context)}</span></div>
<ul class="sums">
${sums(data)
  .map(([value, what]) => `<li><b>${escaped(value)}</b> ${escaped(what)}</li>`)
  .join('\n')}
</ul>
<nav aria-label="views">
<div role="tablist">
${tabs.join('\n')}
</div>
<label class="find"><span id="found" role="status"></span><input id="search" type="search" placeholder="Search steps, causes, output   /" aria-label="Search steps, causes, output"></label>
</nav>
</header>
<main>
<div id="view" tabindex="0"></div>
<aside id="detail" tabindex="0" aria-label="the selected step" aria-live="polite"></aside>
</main>
<script type="application/json" id="report">${json}</script>
<script type="module">
${pageScript}</script>
`,
  );
}

/** What a build came to, in a line. */
function sums({ build, past, images }: ReportData): [value: string, what: string][] {
  const { counts, duration, startedAt } = build;
  const facts: [string, string][] = [];
  if (duration !== undefined) {
    const before = past?.duration === undefined ? '' : ` (${seconds(past.duration)} in build ${past.number})`;
    facts.push([seconds(duration), `in all${before}`]);
  }
  if (counts !== undefined) {
    const { steps, cached, ran } = counts;
    facts.push([`${ran} of ${steps}`, 'steps ran'], [String(cached), 'cached']);
  }
  const bytes = images.flatMap(({ layers }) => layers).reduce((sum, { size }) => sum + size, 0);
  if (bytes > 0)
    facts.push([`${(bytes / 1e6).toFixed(1)} MB`, images.length > 1 ? 'images, compressed' : 'image, compressed']);
  facts.push([new Date(startedAt).toISOString().slice(0, 16).replace('T', ' '), 'UTC']);
  return facts;
}

function seconds(milliseconds: number): string {
  const all = milliseconds / 1000;
  return all < 60 ? `${all.toFixed(1)} s` : `${Math.floor(all / 60)} min ${Math.round(all % 60)} s`;
}
