// The page itself: tabs, keys, the search, and what is selected.
import { drawBuild } from './page-build.js';
import { drawDetail } from './page-detail.js';
import { drawGraph, neighbour, revealBox } from './page-graph.js';
import { chosenRows, drawList, headHeight, rowHeight } from './page-list.js';
import { build, forgetColors, state, steps } from './page-model.js';

const view = document.getElementById('view');
const detail = document.getElementById('detail');
const main = document.querySelector('main');
const search = document.getElementById('search');
const found = document.getElementById('found');
const tabs = [...document.querySelectorAll('[role="tab"]')];
state.selected = steps.findIndex(step => step.outcome === 'failed');
if (state.selected < 0) state.selected = steps.findIndex(step => step.outcome === 'ran' && step.isShown);
if (state.selected < 0) state.selected = 0;

function draw() {
  if (state.tab === 'graph') drawGraph(view, select);
  else if (state.tab === 'build') drawBuild(view);
  else drawList(view, build);
}

function remember() {
  history.replaceState(undefined, '', `#${state.tab}/${state.selected}`);
}

function select(index) {
  if (index === undefined || steps[index] === undefined) return;
  state.selected = index;
  if (state.tab === 'graph') revealBox(view, index);
  else reveal(state.rows.indexOf(index));
  draw();
  drawDetail(detail, select);
  remember();
}

function reveal(position) {
  if (position < 0 || state.tab === 'build') return;
  const top = position * rowHeight();
  const room = view.clientHeight - headHeight();
  if (top < view.scrollTop) view.scrollTop = top;
  if (top + rowHeight() > view.scrollTop + room) view.scrollTop = top + rowHeight() - room;
}

function show(name) {
  state.tab = name;
  for (const button of tabs) {
    button.setAttribute('aria-selected', String(button.id === name));
    button.tabIndex = button.id === name ? 0 : -1;
  }
  const isList = name === 'steps' || name === 'timeline';
  view.setAttribute('role', isList ? 'listbox' : 'region');
  view.setAttribute('aria-label', name);
  main.dataset.tab = name;
  state.rows = isList ? chosenRows() : [];
  view.replaceChildren();
  view.scrollTo(0, 0);
  draw();
  if (name === 'graph') {
    revealBox(view, state.selected);
    draw();
  } else reveal(state.rows.indexOf(state.selected));
  remember();
}

for (const button of tabs) button.addEventListener('click', () => show(button.id));
document.querySelector('[role="tablist"]').addEventListener('keydown', event => {
  const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (move === undefined) return;
  const next = tabs[(tabs.findIndex(({ id }) => id === state.tab) + move + tabs.length) % tabs.length];
  show(next.id);
  next.focus();
});
view.addEventListener('click', event => {
  const row = event.target.closest('[data-step]');
  if (row !== null) select(Number(row.dataset.step));
});
search.addEventListener('input', () => {
  state.word = search.value.toLowerCase();
  if (state.tab === 'build') show('steps');
  const rows = chosenRows();
  found.textContent = state.word === '' ? '' : `${rows.length} found`;
  if (state.tab !== 'graph') {
    state.rows = rows;
    view.scrollTop = 0;
  }
  draw();
});
let isDue = false;
const later = () => {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    if (state.tab !== 'build') draw();
  });
};
view.addEventListener('scroll', later);
window.addEventListener('resize', later);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  forgetColors();
  later();
});
view.addEventListener('keydown', event => {
  if (state.tab === 'graph' && event.key.startsWith('Arrow')) {
    event.preventDefault();
    select(neighbour(event.key));
  }
  const { rows } = state;
  const page = Math.max(1, Math.floor(view.clientHeight / (rowHeight() ?? 1)) - 1);
  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length };
  const move = moves[event.key];
  if (move === undefined || rows.length === 0) return;
  event.preventDefault();
  const at = rows.indexOf(state.selected) + move;
  select(rows[Math.max(0, Math.min(rows.length - 1, at))]);
});
document.addEventListener('keydown', event => {
  if (event.target === search) {
    if (event.key === 'Escape' || event.key === 'Enter') {
      view.focus();
      if (event.key === 'Enter') select(state.rows[0]);
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const button = tabs[Number(event.key) - 1];
  if (button !== undefined) show(button.id);
  if (event.key === '/') {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
const [wanted, index] = location.hash.slice(1).split('/');
if (steps[Number(index)] !== undefined && index !== '') state.selected = Number(index);
show(tabs.some(({ id }) => id === wanted) ? wanted : 'steps');
drawDetail(detail, select);
