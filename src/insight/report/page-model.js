// What the page shows, and what all its views use. Only what can be seen is drawn, so that 2,000 steps are no more than 5.
export const report = JSON.parse(document.getElementById('report').textContent);
export const { build, past, gone, steps, parts, sources, images } = report;

/** What is shown now; the views read it and `page.js` changes it. */
export const state = { tab: 'steps', rows: [], selected: -1, word: '' };

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(key, value === true ? '' : value);
  }
  node.append(...children.filter(child => child !== undefined && child !== ''));
  return node;
}

export function took(milliseconds) {
  if (milliseconds === undefined) return '';
  if (milliseconds < 1) return '<1 ms';
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power - 1]}`;
}

export function age(time) {
  const minutes = Math.max(0, report.now - time) / 60_000;
  if (minutes < 60) return `${Math.ceil(minutes)} min`;
  return minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : `${Math.round(minutes / 1440)} days`;
}

/** Texts with digests that can be read. */
export const short = text => text.replace(/\bsha256:([0-9a-f]{12})[0-9a-f]{52}\b/g, '$1…');

export const date = time => `${new Date(time).toISOString().replace('T', ' ').slice(0, 19)} UTC`;
const classes = { cached: 'hit', shared: 'hit', ran: 'ran', failed: 'bad' };
export const classOf = outcome => classes[outcome] ?? 'off';
export const place = ({ stage, number }) => [stage, number].filter(Boolean).join(' ');
export const isCritical = step => step.waited !== undefined;
export const firstLine = text => text.split('\n', 1)[0];

/** Whether a step did something itself. */
export const isWork = outcome => outcome === 'ran' || outcome === 'failed' || outcome === 'cancelled';

/** The time of a step that did something. */
export const timeOf = step => (isWork(step.outcome) ? step.duration : 0);

/** Milliseconds that a step waited for its turn, if they are worth telling. */
export const waitOf = ({ waited = 0 }) => (waited > 20 ? waited : 0);

/** A sign that tells outcomes apart without colour. */
export function sign(outcome) {
  return element('span', { class: `sign ${classOf(outcome)} ${outcome === 'cached' ? 'open' : ''}`, title: outcome });
}

/** What is read of a step first: why it ran, or where its result comes from. */
export function reason(step) {
  const [first, ...others] = step.causes;
  if (first === undefined) return step.error ?? step.from ?? '';
  const more = others.length > 0 ? `  +${others.length}` : '';
  const near = steps[first.path[0]];
  return near === undefined ? first.text + more : `follows ${firstLine(near.text)} · ${first.text}${more}`;
}

let haystacks;
/** Whether a step has the word that is searched for. */
export function matches(index) {
  if (state.word === '') return true;
  haystacks ??= steps.map(({ name, text, stage, outcome, causes, surprises, log }) =>
    [name, text, stage, outcome, ...[...causes, ...surprises].map(one => `${one.id ?? ''} ${one.text}`), log ?? '']
      .join('\n')
      .toLowerCase(),
  );
  return haystacks[index].includes(state.word);
}

/** When the last step ended, in either build. */
export const span = Math.max(
  1,
  build.duration ?? 0,
  past?.duration ?? 0,
  steps.reduce((last, step) => Math.max(last, step.end ?? 0, step.past?.end ?? 0), 0),
);

let colors;
/** Other colours count from now on. */
export function forgetColors() {
  colors = undefined;
}

/** Colours of the style sheet, for what is drawn on a canvas. */
export function palette() {
  if (colors !== undefined) return colors;
  const probe = element('span');
  document.body.append(probe);
  const names = ['text', 'dim', 'line', 'panel', 'soft', 'hit', 'ran', 'bad', 'off', 'mark'];
  colors = Object.fromEntries(
    names.map(name => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return colors;
}
