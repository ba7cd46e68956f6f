// The graph: inputs to the left of what uses them, drawn on a canvas of the size of the window.
import {
  classOf,
  element,
  firstLine,
  isCritical,
  isWork,
  matches,
  palette,
  place,
  state,
  steps,
  took,
} from './page-model.js';

const BOX = { width: 228, height: 38, across: 292, down: 50, margin: 24 };
const SCALES = [0.08, 0.12, 0.2, 0.3, 0.45, 0.65, 1, 1.4];
let scale = 1;
let boxes;
let lines = [];
const extent = { width: 0, height: 0 };

/** The column of each step: one more than the last of its inputs. */
function columnsOf() {
  const depths = [];
  for (const start of steps.keys()) {
    const stack = [start];
    while (stack.length > 0) {
      const index = stack.at(-1);
      const open = steps[index].inputs.filter(input => depths[input] === undefined);
      if (open.length > 0) stack.push(...open);
      else {
        depths[index] = Math.max(-1, ...steps[index].inputs.map(input => depths[input])) + 1;
        stack.pop();
      }
    }
  }
  return depths;
}

/** Edges that pass more columns than this in all go straight. */
const MOST_BENDS = 20_000;

/** The nodes of the drawing: steps, and the places where long edges pass a column. */
function layout() {
  const depths = columnsOf();
  const users = steps.map(() => []);
  for (const [index, { inputs }] of steps.entries()) for (const input of inputs) users[input].push(index);
  const joined = [...steps.keys()].filter(index => steps[index].inputs.length + users[index].length > 0);
  // A source stands right before the first step that reads it.
  for (const index of joined) {
    if (steps[index].inputs.length === 0) depths[index] = Math.min(...users[index].map(user => depths[user])) - 1;
  }
  const nodes = new Map(joined.map(index => [index, { depth: depths[index], above: [], below: [], size: 1 }]));
  const edges = joined.flatMap(to => steps[to].inputs.map(from => ({ from, to, bends: [] })));
  const bends = edges.reduce((sum, { from, to }) => sum + depths[to] - depths[from] - 1, 0);
  let next = steps.length;
  for (const { from, to, bends: passed } of edges) {
    if (bends <= MOST_BENDS) {
      for (let depth = depths[from] + 1; depth < depths[to]; depth++) {
        nodes.set(next, { depth, above: [], below: [], size: 0.4 });
        passed.push(next++);
      }
    }
    const chain = [from, ...passed, to];
    for (let at = 1; at < chain.length; at++) {
      nodes.get(chain[at - 1]).above.push(chain[at]);
      nodes.get(chain[at]).below.push(chain[at - 1]);
    }
  }
  return { nodes, edges };
}

/** Nodes of a column stand at the middle of what they are joined to, so that few lines cross. */
function orderColumns(nodes) {
  const columns = [];
  for (const [id, { depth }] of nodes) {
    const column = columns[depth] ?? [];
    columns[depth] = column;
    column.push(id);
  }
  const rows = new Map();
  for (const column of columns) for (const [row, id] of (column ?? []).entries()) rows.set(id, row);
  const middle = (id, around) =>
    around.length === 0 ? rows.get(id) : around.reduce((sum, other) => sum + rows.get(other), 0) / around.length;
  for (let sweep = 0; sweep < 6; sweep++) {
    const isDown = sweep % 2 === 0;
    for (const column of isDown ? columns : [...columns].reverse()) {
      if (column === undefined) continue;
      const centres = new Map(column.map(id => [id, middle(id, isDown ? nodes.get(id).below : nodes.get(id).above)]));
      column.sort((a, b) => centres.get(a) - centres.get(b));
      let free = Number.NEGATIVE_INFINITY;
      for (const id of column) {
        const { size } = nodes.get(id);
        const row = Math.max(free + size / 2, centres.get(id));
        rows.set(id, row);
        free = row + size / 2;
      }
    }
  }
  return rows;
}

function placeBoxes() {
  const { nodes, edges } = layout();
  const rows = orderColumns(nodes);
  const top = Math.min(...rows.values());
  boxes = new Map();
  const points = new Map();
  for (const [id, { depth }] of nodes) {
    const x = BOX.margin + depth * BOX.across;
    const y = BOX.margin + (rows.get(id) - top) * BOX.down;
    points.set(id, { x, y: y + BOX.height / 2 });
    if (id < steps.length) boxes.set(id, { x, y });
    extent.width = Math.max(extent.width, x + BOX.width + BOX.margin);
    extent.height = Math.max(extent.height, y + BOX.height + BOX.margin);
  }
  lines = edges.map(({ from, to, bends }) => {
    const path = [from, ...bends, to].map(id => points.get(id));
    const ys = path.map(({ y }) => y);
    return { from, to, path, top: Math.min(...ys), bottom: Math.max(...ys) };
  });
}

function canvasOf(view, select) {
  const known = view.querySelector('canvas');
  if (known !== null) return known;
  const canvas = element('canvas', { role: 'img', 'aria-label': 'The graph of steps; the arrow keys go through them' });
  const room = element('div', { class: 'room' }, canvas);
  const tools = element(
    'div',
    { class: 'tools' },
    ...[
      ['−', 'smaller', () => zoom(view, -1)],
      ['+', 'larger', () => zoom(view, 1)],
      ['fit', 'show all', () => fit(view)],
    ].map(([text, title, action]) => {
      const button = element('button', { title, 'aria-label': title }, text);
      button.addEventListener('click', action);
      return button;
    }),
  );
  view.replaceChildren(room, tools);
  canvas.addEventListener('click', event => {
    const x = (event.offsetX + view.scrollLeft) / scale;
    const y = (event.offsetY + view.scrollTop) / scale;
    for (const [index, box] of boxes) {
      if (x >= box.x && x < box.x + BOX.width && y >= box.y && y < box.y + BOX.height) return select(index);
    }
  });
  return canvas;
}

function zoom(view, by) {
  const at = SCALES.findLastIndex(one => one <= scale + 0.001);
  rescale(view, SCALES[Math.max(0, Math.min(SCALES.length - 1, at + by))]);
}

function fit(view) {
  const wanted = Math.min(1, view.clientWidth / extent.width, view.clientHeight / extent.height);
  rescale(view, Math.max(SCALES[0], wanted));
}

function rescale(view, wanted) {
  const x = (view.scrollLeft + view.clientWidth / 2) / scale;
  const y = (view.scrollTop + view.clientHeight / 2) / scale;
  scale = wanted;
  drawGraph(view);
  view.scrollTo(x * scale - view.clientWidth / 2, y * scale - view.clientHeight / 2);
  drawGraph(view);
}

export function drawGraph(view, select) {
  if (boxes === undefined) {
    placeBoxes();
    scale = Math.max(0.85, Math.min(1, view.clientWidth / extent.width, view.clientHeight / extent.height));
  }
  const canvas = canvasOf(view, select);
  const { clientWidth: width, clientHeight: height } = view;
  const room = canvas.parentElement;
  room.style.width = `${Math.max(extent.width * scale, width)}px`;
  room.style.height = `${Math.max(extent.height * scale, height)}px`;
  const { scrollLeft: left, scrollTop: top } = view;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio * scale, 0, 0, ratio * scale, -left * ratio, -top * ratio);
  const tones = palette();
  const seen = { left: left / scale, top: top / scale, right: (left + width) / scale, bottom: (top + height) / scale };
  drawEdges(pen, tones, seen);
  for (const [index, box] of boxes) {
    const isSeen =
      box.y < seen.bottom && box.y + BOX.height > seen.top && box.x < seen.right && box.x + BOX.width > seen.left;
    if (isSeen) drawBox(pen, tones, index, box);
  }
}

function drawEdges(pen, tones, seen) {
  for (const isMain of [false, true]) {
    pen.strokeStyle = isMain ? tones.mark : tones.line;
    pen.lineWidth = (isMain ? 2 : 1.25) / Math.min(1, scale * 1.4);
    pen.beginPath();
    for (const { from, to, path, top, bottom } of lines) {
      if ((isCritical(steps[to]) && isCritical(steps[from])) !== isMain) continue;
      if (bottom < seen.top || top > seen.bottom || path.at(-1).x < seen.left || path[0].x > seen.right) continue;
      let { x, y } = path[0];
      x += BOX.width;
      pen.moveTo(x, y);
      for (const [at, point] of path.slice(1).entries()) {
        const bend = Math.min(48, (point.x - x) / 2);
        pen.lineTo(point.x - bend * 2, y);
        pen.bezierCurveTo(point.x - bend, y, point.x - bend, point.y, point.x, point.y);
        ({ x, y } = point);
        if (at < path.length - 2) {
          x += BOX.width;
          pen.lineTo(x, y);
        }
      }
    }
    pen.stroke();
  }
}

function drawBox(pen, tones, index, box) {
  const step = steps[index];
  pen.globalAlpha = matches(index) ? 1 : 0.2;
  pen.beginPath();
  pen.roundRect(box.x, box.y, BOX.width, BOX.height, 6);
  pen.fillStyle = tones.panel;
  pen.fill();
  const isSelected = index === state.selected;
  pen.strokeStyle = isSelected ? tones.mark : isCritical(step) ? tones.mark : tones.line;
  pen.lineWidth = (isSelected ? 3 : isCritical(step) ? 1.75 : 1) / Math.min(1, scale * 1.4);
  pen.stroke();
  pen.fillStyle = tones[classOf(step.outcome)];
  pen.beginPath();
  pen.roundRect(box.x, box.y, scale < 0.4 ? BOX.width : 5, BOX.height, scale < 0.4 ? 6 : [6, 0, 0, 6]);
  pen.fill();
  if (scale >= 0.4) {
    pen.textBaseline = 'middle';
    pen.fillStyle = tones.text;
    pen.font = '12.5px ui-monospace, monospace';
    pen.fillText(fitted(pen, firstLine(step.text), BOX.width - 26), box.x + 14, box.y + 13);
    pen.fillStyle = tones.dim;
    pen.font = '11.5px system-ui, sans-serif';
    const below = [place(step), step.outcome, isWork(step.outcome) ? took(step.duration) : '']
      .filter(Boolean)
      .join(' · ');
    pen.fillText(fitted(pen, below, BOX.width - 26), box.x + 14, box.y + 28);
  }
  pen.globalAlpha = 1;
}

function fitted(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = Math.floor((text.length * width) / pen.measureText(text).width);
  while (end > 0 && pen.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end)}…`;
}

/** Scrolls so far that a step can be seen. */
export function revealBox(view, index) {
  const box = boxes?.get(index);
  if (box === undefined) return;
  const [left, top] = [box.x * scale, box.y * scale];
  const [right, bottom] = [left + BOX.width * scale, top + BOX.height * scale];
  if (top < view.scrollTop || bottom > view.scrollTop + view.clientHeight)
    view.scrollTop = (top + bottom - view.clientHeight) / 2;
  if (left < view.scrollLeft || right > view.scrollLeft + view.clientWidth)
    view.scrollLeft = (left + right - view.clientWidth) / 2;
}

/** The step next to the selected one in a direction. */
export function neighbour(key) {
  const at = boxes?.get(state.selected);
  if (at === undefined) return boxes?.keys().next().value;
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
  let best;
  for (const [index, box] of boxes) {
    const [along, aside] = x === 0 ? [(box.y - at.y) * y, box.x - at.x] : [(box.x - at.x) * x, box.y - at.y];
    if (along <= 0) continue;
    const far = along + Math.abs(aside) * 3;
    if (best === undefined || far < best.far) best = { index, far };
  }
  return best?.index;
}
