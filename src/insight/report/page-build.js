// The tab that tells of the build as a whole: what it was asked for, its images, and the caches that it used.
import {
  age,
  build,
  date,
  element,
  gone,
  images,
  past,
  report,
  sign,
  size,
  sources,
  steps,
  took,
} from './page-model.js';

function section(title, ...content) {
  return element('section', {}, element('h2', {}, title), ...content);
}

function table(kind, titles, rows) {
  const head = titles.length === 0 ? [] : [element('tr', {}, ...titles.map(title => element('th', {}, title)))];
  const body = rows.map(cells => element('tr', {}, ...cells.map(cell => element('td', {}, cell))));
  return element('table', { class: kind }, ...head, ...body);
}

function meter(part, tone) {
  const bar = element('i', { class: tone });
  bar.style.width = `${Math.max(0.5, part * 100)}%`;
  return element('span', { class: 'meter wide' }, bar);
}

function imageSection({ platform, layers }) {
  const total = layers.reduce((sum, layer) => sum + layer.size, 0);
  const largest = Math.max(1, ...layers.map(layer => layer.size));
  const rows = layers.map(layer => [
    size(layer.size),
    meter(layer.size / largest, 'mark'),
    element('code', { title: layer.by ?? '' }, layer.by ?? ''),
    element('code', { title: layer.digest }, layer.digest.slice(7, 19)),
  ]);
  const title = `Image${platform === '' ? '' : ` for ${platform}`}: ${layers.length} layers, ${size(total)} compressed`;
  return section(title, table('layers', ['Size', '', 'Made by', 'Digest'], rows));
}

function sourcesSection() {
  const hits = new Map();
  for (const { cache, isShown, outcome } of steps)
    if (cache !== undefined && isShown && outcome === 'cached') hits.set(cache, (hits.get(cache) ?? 0) + 1);
  const known = new Map(sources.map(source => [source.id, source]));
  const ids = [...new Set(['local', ...known.keys(), ...hits.keys()])];
  const rows = ids.map(id => {
    const { name, error, records, newest, isInline } = known.get(id) ?? {};
    const holds = records === undefined ? '' : `${records} records`;
    return [
      id === 'local' ? 'this machine' : (name ?? id),
      String(hits.get(id) ?? 0),
      error ?? [holds, isInline ? 'inline' : ''].filter(Boolean).join(', '),
      newest === undefined ? '' : `${age(newest)} (${date(newest)})`,
    ];
  });
  return section('Caches', table('', ['Cache', 'Hits', 'Holds', 'Newest result'], rows));
}

function besideSection() {
  const rows = [
    ['status', past.status, build.status],
    ['started', date(past.startedAt), date(build.startedAt)],
    ['took', took(past.duration), took(build.duration)],
    ...['steps', 'cached', 'ran'].map(name => [name, ...[past, build].map(one => String(one.counts?.[name] ?? ''))]),
  ];
  const parts = [section('Two builds', table('', ['', `build ${past.number}`, `build ${build.number}`], rows))];
  if (gone.length > 0) {
    const lines = gone.map(step => [sign(step.outcome), step.stage, element('code', {}, step.text), step.outcome]);
    parts.push(section(`Only in build ${past.number}`, table('gone', [], lines)));
  }
  return parts;
}

export function drawBuild(view) {
  const facts = report.facts.map(([name, value]) => [name, element('span', { class: 'written' }, value)]);
  view.replaceChildren(
    element(
      'div',
      { class: 'page' },
      ...(past === undefined ? [] : besideSection()),
      ...images.map(imageSection),
      sourcesSection(),
      section('Asked for and made', table('asked', [], facts)),
    ),
  );
}
