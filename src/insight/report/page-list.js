// The list of steps and the timeline: rows of one height, of which only those are made that can be seen.
import {
  classOf,
  element,
  firstLine,
  isCritical,
  isWork,
  matches,
  past,
  place,
  reason,
  sign,
  span,
  state,
  steps,
  timeOf,
  took,
  waitOf,
} from './page-model.js';

const HEIGHTS = { steps: 46, timeline: 28 };
const AXIS = 30;
export const rowHeight = () => HEIGHTS[state.tab];
/** Above the rows. */
export const headHeight = () => (state.tab === 'timeline' ? AXIS : past === undefined ? 0 : AXIS);

const longest = steps.reduce(
  (most, step) => (step.isShown ? Math.max(most, timeOf(step) ?? 0, timeOf(step.past ?? {}) ?? 0) : most),
  1,
);

/** The rows of a tab that have the word. */
export function chosenRows() {
  const rows = [...steps.keys()].filter(matches);
  if (state.tab === 'timeline') {
    return rows.filter(index => steps[index].start !== undefined).sort((a, b) => steps[a].start - steps[b].start);
  }
  return state.tab === 'steps' && state.word === '' ? rows.filter(index => steps[index].isShown) : rows;
}

function rowOf(index, position) {
  const step = steps[index];
  const row = element('div', {
    class: `row ${state.tab}${isCritical(step) ? ' critical' : ''}`,
    role: 'option',
    id: `step-${index}`,
    'data-step': String(index),
    'aria-selected': String(index === state.selected),
    'aria-posinset': String(position + 1),
    'aria-setsize': String(state.rows.length),
    'aria-label': `${place(step)} ${firstLine(step.text)}, ${step.outcome}, ${reason(step)}`,
  });
  row.style.top = `${headHeight() + position * rowHeight()}px`;
  row.append(sign(step.outcome), element('span', { class: 'place', title: place(step) }, place(step)));
  if (state.tab === 'timeline') row.append(...timelineCells(step));
  else row.append(...listCells(step));
  return row;
}

function listCells(step) {
  const why = reason(step);
  const what = element(
    'span',
    { class: 'what' },
    element('span', { class: 'text', title: step.text }, firstLine(step.text)),
    element('span', { class: 'why', title: why }, why || step.outcome),
  );
  const cells = past === undefined ? [] : [timeCell(step.past?.outcome ?? 'new', step.past?.duration)];
  return [what, ...cells, timeCell(step.outcome, step.duration)];
}

function timeCell(outcome, duration) {
  const didWork = isWork(outcome);
  const bar = element('i', { class: classOf(outcome) });
  bar.style.width = `${didWork ? Math.max(1, ((duration ?? 0) / longest) * 100) : 0}%`;
  return element(
    'span',
    { class: 'took' },
    element('b', { class: didWork ? '' : 'quiet' }, didWork ? took(duration) : outcome),
    didWork ? element('span', { class: 'meter' }, bar) : '',
  );
}

function timelineCells(step) {
  const track = element('span', { class: 'track' });
  const add = (name, from, to) => {
    const bar = element('span', { class: name });
    bar.style.left = `${(from / span) * 100}%`;
    bar.style.width = `${(Math.max(0, to - from) / span) * 100}%`;
    track.append(bar);
  };
  if (step.past?.start !== undefined) add('ghost', step.past.start, step.past.end);
  if (waitOf(step) > 0) add('wait', step.start - waitOf(step), step.start);
  add(`bar ${classOf(step.outcome)}`, step.start, step.end);
  const time = element('span', { class: 'at' }, took(step.duration));
  const end = (step.end / span) * 100;
  if (end > 84) {
    time.style.right = `${100 - (step.start / span) * 100}%`;
    time.style.paddingRight = '6px';
  } else {
    time.style.left = `${end}%`;
    time.style.paddingLeft = '6px';
  }
  track.append(time);
  return [element('span', { class: 'text', title: step.text }, firstLine(step.text)), track];
}

/** The times over the tracks, at round numbers. */
function axis() {
  const wanted = span / 8;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const gap = [1, 2, 5, 10].map(one => one * power).find(one => one >= wanted) ?? wanted;
  const track = element('span', { class: 'track' });
  for (let time = 0; time <= span; time += gap) {
    // The label of a line at the very end would make the list wider than its window.
    const label = time === 0 ? '0' : time > span * 0.95 ? '' : took(time).replace(/\.0+(?= )/, '');
    const tick = element('span', { class: 'tick' }, label);
    tick.style.left = `${(time / span) * 100}%`;
    track.append(tick);
  }
  const legend = element(
    'span',
    { class: 'text legend' },
    element('span', { class: 'key critical' }),
    'critical path',
    ...(past === undefined ? [] : [element('span', { class: 'key ghost' }), `build ${past.number}`]),
  );
  return element('div', { class: 'axis timeline' }, element('span'), element('span'), legend, track);
}

function columns(number) {
  return element(
    'div',
    { class: 'axis steps beside' },
    element('span'),
    element('span'),
    element('span'),
    element('span', { class: 'took' }, `build ${past.number}`),
    element('span', { class: 'took' }, `build ${number}`),
  );
}

/** Rows that were made for what is shown now, by step. */
const made = { key: '', list: undefined, rows: new Map() };

/** The list that rows are in; a new one when a tab is opened or another word is searched for. */
function listOf(view, build) {
  const key = `${state.tab} ${state.word}`;
  if (made.key === key && made.list?.parentNode === view) return made.list;
  const list = element('div', { class: 'rows', role: 'presentation' });
  list.style.height = `${headHeight() + state.rows.length * rowHeight()}px`;
  if (state.tab === 'timeline') list.append(axis());
  else if (past !== undefined) list.append(columns(build.number));
  if (state.rows.length === 0) list.append(element('p', { class: 'empty' }, 'No step has it.'));
  view.classList.toggle('beside', past !== undefined);
  view.replaceChildren(list);
  Object.assign(made, { key, list, rows: new Map() });
  return list;
}

export function drawList(view, build) {
  const list = listOf(view, build);
  const height = rowHeight();
  const first = Math.max(0, Math.floor((view.scrollTop - headHeight()) / height) - 6);
  const last = Math.min(state.rows.length, Math.ceil((view.scrollTop + view.clientHeight) / height) + 6);
  for (const [position, row] of made.rows) {
    if (position >= first && position < last) continue;
    row.remove();
    made.rows.delete(position);
  }
  const added = [];
  for (let position = first; position < last; position++) {
    const index = state.rows[position];
    const known = made.rows.get(position);
    if (known !== undefined) known.setAttribute('aria-selected', String(index === state.selected));
    else {
      const row = rowOf(index, position);
      made.rows.set(position, row);
      added.push(row);
    }
  }
  list.append(...added);
  view.setAttribute('aria-activedescendant', `step-${state.selected}`);
}
