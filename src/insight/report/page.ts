/** The report of a build: one page of HTML that needs nothing else. */

import { pageScript, pageStyle } from './page-assets.ts';
import type { ReportData } from './report-data.ts';

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, character => ENTITIES[character] ?? '');
}

/** A page that shows a build in any browser, and loads nothing. */
export function reportPage(data: ReportData): string {
  const { build } = data;
  // No text of a build can end the element that it stands in.
  const json = JSON.stringify(data).replaceAll('<', '\\u003c');
  const tabs = ['Steps', 'Timeline', 'Graph', 'Build'].map(
    name => `<button role="tab" id="${name.toLowerCase()}" aria-selected="false">${name}</button>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>outcrop</title>
<style>
${pageStyle}</style>
</head>
<body>
<header>
<h1>Build ${build.number}: ${escaped(build.status)}</h1>
<p>${escaped(build.summary)}</p>
<nav role="tablist">
${tabs.join('\n')}
<input id="search" type="search" placeholder="Search steps, causes, output ( / )" aria-label="Search">
</nav>
</header>
<main>
<div id="view" tabindex="0" aria-label="Steps"></div>
<section id="detail" aria-label="The selected step" aria-live="polite"></section>
</main>
<script type="application/json" id="report">${json}</script>
<script type="module">
${pageScript}</script>
</body>
</html>
`;
}
