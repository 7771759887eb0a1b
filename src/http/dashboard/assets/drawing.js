// A chart as SVG. Colours, strokes and letters come from the stylesheet, by class, so a drawing follows the theme, the
// paper and high contrast by itself. What a chart is made of is described in figure.js.

import { short } from './format.js';

const NS = 'http://www.w3.org/2000/svg';
// Beyond this many places, single points are no longer marked.
const POINTS_MAX = 40;
const LETTERS_WIDE = 0.6;

/** An SVG element. */
export function s(tag, attributes, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.flat(Infinity).filter(Boolean));
  return element;
}

/** The sign near the end of a bar that is drawn shorter than it is. */
export function cutSign(height) {
  return s('svg', { x: '100%', overflow: 'visible' }, s('path', { class: 'bar-cut', d: `M-16 ${height + 1}l6 ${-height - 2}h5l-6 ${height + 2}Z` }));
}

/** The drawing of a chart in that size, and where its area lies within it: `{ svg, area: { left, top, width, height } }`. */
export function drawing(chart, size) {
  const scale = amounts(chart);
  const letter = Math.max(11, size.letters * 0.82);
  const names = scale.ticks.map(short);
  const left = Math.ceil(Math.max(...names.map(({ length }) => length)) * letter * LETTERS_WIDE) + 10;
  const area = { left, top: 10, width: Math.max(40, size.width - left - 12), height: Math.max(40, size.height - 10 - letter * 2.2) };
  const at = {
    x: (place) => area.left + (area.width * (place + 0.5)) / chart.labels.length,
    y: (value) => area.top + area.height * (1 - value / scale.most),
  };
  const svg = s('svg', { class: 'drawing', viewBox: `0 0 ${size.width} ${size.height}`, 'aria-hidden': 'true', focusable: 'false', 'font-size': letter },
    s('defs', {}, hatches(chart)),
    scale.ticks.map((value, index) => [
      s('path', { class: value === 0 ? 'axis' : 'grid', d: `M${area.left} ${at.y(value)}h${area.width}` }),
      s('text', { class: 'tick', x: area.left - 6, y: at.y(value), 'text-anchor': 'end', 'dominant-baseline': 'central' }, names[index]),
    ]),
    placeNames(chart, area, at, letter, size),
    (chart.bands ?? []).map((band) => bandArea(band, chart, at)),
    bars(chart, at),
    chart.series.filter(({ kind }) => kind !== 'bar').map((series) => (series.kind === 'mark' ? marks(series, at) : line(series, chart, at))));
  return { svg, area };
}

// ---- Axes ----

// People and tests come in whole numbers, so the axis has no fractions, and a report of zeros still has a scale.
function amounts({ series, bands = [], stacked }) {
  const heights = stacked
    ? series[0].values.map((_, place) => series.reduce((sum, { values }) => sum + (values[place] ?? 0), 0))
    : [...series.flatMap(({ values }) => values), ...bands.flatMap(({ upper }) => upper)];
  const highest = heights.reduce((high, height) => Math.max(high, height ?? 0), 1);
  const step = niceStep(highest / 6);
  // A line at the very top would be cut in half.
  const most = highest * 1.06;
  return { most, ticks: Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step) };
}

function niceStep(rough) {
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(rough, 1)));
  const times = magnitude === 1 ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10];
  return Math.max(1, times.find((many) => many * magnitude >= rough) * magnitude);
}

// As many names as fit beside each other.
function placeNames({ ticks }, area, at, letter, { width }) {
  const most = width < 500 ? 16 : 32;
  const names = ticks.map((name) => shorten(name, most));
  const longest = names.reduce((long, { length }) => Math.max(long, length), 0) * letter * LETTERS_WIDE + letter;
  const step = Math.max(1, Math.ceil((ticks.length * longest) / area.width));
  return names.flatMap((name, place) => {
    if (place % step !== 0) return [];
    const half = (name.length * letter * LETTERS_WIDE) / 2;
    const x = Math.max(half, Math.min(width - half, at.x(place)));
    return [
      s('path', { class: 'axis', d: `M${at.x(place)} ${at.y(0)}v4` }),
      s('text', { class: 'tick', x, y: area.top + area.height + letter * 1.35, 'text-anchor': 'middle' }, name),
    ];
  });
}

function shorten(text, most) {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : text;
}

// ---- Shapes ----

function hatchName({ id }, color, shape) {
  return `hatch-${id}-${color}-${shape}`;
}

function hatches(chart) {
  const bands = (chart.bands ?? []).filter(({ pattern }) => pattern).map(({ color, pattern }) => hatch(chart, color, pattern));
  const series = chart.series.filter(({ kind }) => kind === 'bar');
  return [...bands, ...series.flatMap(({ color }) => ['lines', 'dots'].map((shape) => hatch(chart, color, shape)))];
}

function hatch(chart, color, shape) {
  const form = {
    lines: s('path', { class: 'line', d: 'M-1 1l2 -2M0 6l6 -6M5 7l2 -2' }),
    cross: s('path', { class: 'line', d: 'M0 6l6 -6M0 0l6 6' }),
    dots: s('circle', { class: 'dot', cx: 3, cy: 3, r: 1.2 }),
  }[shape];
  return s('pattern', { id: hatchName(chart, color, shape), class: `hatch color-${color}`, width: 6, height: 6, patternUnits: 'userSpaceOnUse' }, form);
}

function bandArea({ lower, upper, color, pattern }, chart, at) {
  const there = upper.map((value, place) => value !== null && value > lower[place]);
  const shape = there.map((isThere, place) => (isThere
    ? `M${at.x(place - 0.5)} ${at.y(lower[place])}V${at.y(upper[place])}H${at.x(place + 0.5)}V${at.y(lower[place])}Z` : '')).join('');
  if (!shape) return null;
  return s('path', { class: `band color-${color}`, d: shape, fill: pattern ? `url(#${hatchName(chart, color, pattern)})` : null });
}

// What is not over yet is hatched: more may come. What the range cuts is dotted: it has fewer days than its neighbours.
function bars(chart, at) {
  const series = chart.series.filter(({ kind }) => kind === 'bar');
  const last = chart.partialAt ?? chart.labels.length - 1;
  const beside = chart.stacked ? 1 : series.length;
  const wide = 0.72 / beside;
  const below = chart.labels.map(() => 0);
  return series.map(({ values, color }, index) => {
    const shapes = { solid: '', lines: '', dots: '' };
    values.forEach((value, place) => {
      if (!value) return;
      const from = below[place];
      if (chart.stacked) below[place] += value;
      const left = at.x(place - 0.36 + (chart.stacked ? 0 : index * wide));
      const right = at.x(place - 0.36 + (chart.stacked ? 1 : index + 1) * wide);
      const kind = chart.partial && place === last ? 'lines' : chart.cut?.[place] ? 'dots' : 'solid';
      shapes[kind] += `M${left} ${at.y(from)}V${at.y(from + value)}H${right}V${at.y(from)}Z`;
    });
    return Object.entries(shapes).filter(([, d]) => d).map(([kind, d]) => s('path', {
      class: `bar color-${color}`, d, fill: kind === 'solid' ? null : `url(#${hatchName(chart, color, kind)})`,
    }));
  });
}

function line({ name, values, kind, color, dash = 'solid', symbol = 'circle', plain }, chart, at) {
  let d = '';
  let before = null;
  values.forEach((value, place) => {
    if (value === null || value === undefined) before = null;
    else {
      const start = before === null ? 'M' : 'L';
      d += kind === 'step' ? `${start}${at.x(place - 0.5)} ${at.y(value)}H${at.x(place + 0.5)}` : `${start}${at.x(place)} ${at.y(value)}`;
      before = value;
    }
  });
  const marked = chart.labels.length <= POINTS_MAX && !plain;
  return s('g', { class: `color-${color}`, 'data-series': name },
    s('path', { class: `line line-${dash}`, d }),
    marked ? values.map((value, place) => (value === null || value === undefined ? null : point(symbol, at.x(place), at.y(value), 3))) : null);
}

// Many marks are small, so that they stay apart.
function marks({ name, values, color, symbol = 'triangle' }, at) {
  const r = Math.max(2, Math.min(5, (at.x(1) - at.x(0)) * 0.35));
  return s('g', { class: `color-${color}`, 'data-series': name }, values.map((value, place) => (value === null ? null
    : s('g', { 'data-place': place }, point(symbol, at.x(place), at.y(value), r)))));
}

function point(symbol, x, y, r) {
  const shapes = {
    circle: `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
    square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
    diamond: `M${x} ${y - r * 1.3}l${r * 1.3} ${r * 1.3}l${-r * 1.3} ${r * 1.3}l${-r * 1.3} ${-r * 1.3}Z`,
    triangle: `M${x} ${y - r * 1.3}L${x + r * 1.2} ${y + r}H${x - r * 1.2}Z`,
  };
  return s('path', { class: 'point', d: shapes[symbol] });
}
