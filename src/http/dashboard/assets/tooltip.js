// Exact figures by pointer, touch and keyboard. A drawn chart is a slider over its periods: arrow keys, Home and End move
// along it, a screen reader says the figures of each, Escape puts the tooltip away, Enter opens what a place leads to.

import { h, patch } from './dom.js';
import { swatch, valuesAt } from './figure.js';
import { named } from './names.js';

const LINGER_MS = 250;
// The names below a chart stay to be read.
const AXIS_PX = 24;
const charts = new WeakMap();

/** Gives the drawn chart its tooltip. Called again after each drawing; `area` is where its places lie. */
export function attach(plot, chart, area) {
  const state = charts.get(plot) ?? { at: null };
  Object.assign(state, { chart, area });
  plot.setAttribute('role', 'slider');
  plot.setAttribute('tabindex', '0');
  plot.setAttribute('aria-label', `${chart.title}: move through it with the arrow keys${chart.links ? `; Enter: ${chart.leads}` : ''}`);
  plot.setAttribute('aria-valuemin', '0');
  plot.setAttribute('aria-valuemax', String(chart.labels.length - 1));
  plot.setAttribute('aria-orientation', 'horizontal');
  if (!charts.has(plot)) {
    charts.set(plot, state);
    listen(plot);
  }
  state.at = state.at === null ? null : Math.min(state.at, chart.labels.length - 1);
  announce(plot, state.at ?? first(chart));
  if (state.at !== null) show(plot, state.at);
}

function listen(plot) {
  const tooltip = tooltipOf(plot);
  const point = (event) => {
    if (event.target.closest('.tooltip')) return;
    const index = placeAt(plot, event);
    if (index === null) lingerThenHide(plot);
    else show(plot, index);
  };
  plot.addEventListener('pointermove', point);
  plot.addEventListener('pointerdown', point);
  // A finger leaves when it is lifted: what it tapped stays to be read until it taps something else, or scrolls.
  const leave = ({ pointerType }) => { if (pointerType !== 'touch') lingerThenHide(plot); };
  plot.addEventListener('pointerleave', leave);
  plot.addEventListener('pointercancel', () => lingerThenHide(plot));
  // The pointer may move onto the tooltip, which then stays.
  tooltip.addEventListener('pointerenter', () => clearTimeout(charts.get(plot).timer));
  tooltip.addEventListener('pointerleave', leave);
  plot.addEventListener('focus', () => {
    if (plot.matches(':focus-visible')) show(plot, charts.get(plot).at ?? first(charts.get(plot).chart));
  });
  plot.addEventListener('blur', () => hide(plot));
  plot.addEventListener('keydown', (event) => move(plot, event));
  // A finger reads first; the tooltip has the link for it.
  plot.addEventListener('click', (event) => {
    if (event.pointerType !== 'touch') follow(plot, placeAt(plot, event));
  });
}

function follow(plot, index) {
  const href = charts.get(plot).chart.links?.[index];
  if (href) plot.dispatchEvent(new CustomEvent('follow', { bubbles: true, detail: href }));
}

document.addEventListener('keydown', ({ key }) => { if (key === 'Escape') hideAllBut(null); });

document.addEventListener('pointerdown', ({ target }) => hideAllBut(target));

// The tooltips of all charts but the one that holds the element.
function hideAllBut(element) {
  for (const frame of document.querySelectorAll('.frame.pointing')) {
    if (!frame.contains(element)) hide(frame.querySelector('.plot'));
  }
}

const STEPS = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, PageUp: -7, PageDown: 7 };

// Where it begins: at the latest figures, which are not always the last place.
function first(chart) {
  return chart.partialAt ?? chart.labels.length - 1;
}

function move(plot, event) {
  const { chart, at } = charts.get(plot);
  const last = chart.labels.length - 1;
  let index;
  if (event.key === 'Home') index = 0;
  else if (event.key === 'End') index = last;
  else if (event.key === 'Enter') return follow(plot, at ?? first(chart));
  else if (STEPS[event.key]) index = (at ?? first(chart)) + STEPS[event.key];
  else return undefined;
  event.preventDefault();
  return show(plot, Math.max(0, Math.min(last, index)));
}

function placeAt(plot, event) {
  const { chart, area } = charts.get(plot);
  const box = plot.getBoundingClientRect();
  const along = (event.clientX - box.left - area.left) / area.width;
  const below = event.clientY - box.top - area.top > area.height + 40;
  if (along < -0.02 || along > 1.02 || below) return null;
  return Math.max(0, Math.min(chart.labels.length - 1, Math.floor(along * chart.labels.length)));
}

function show(plot, index) {
  const state = charts.get(plot);
  clearTimeout(state.timer);
  state.at = index;
  const tooltip = tooltipOf(plot);
  patch(tooltip, ...content(state.chart, index));
  tooltip.hidden = false;
  position(plot, tooltip, index);
  announce(plot, index);
}

function content(chart, index) {
  return [
    h('p', { class: 'tooltip-title' }, named(chart.labels[index])),
    h('dl', null, valuesAt(chart, index).map(({ name, text, color, shape }) => h('div', null,
      h('dt', null, color ? swatch(color, shape) : null, name), h('dd', null, text)))),
    chart.links?.[index] ? h('p', null, h('a', { href: chart.links[index], 'data-action': 'link', tabindex: '-1' }, chart.leads)) : null,
  ];
}

function announce(plot, index) {
  const { chart } = charts.get(plot);
  const said = valuesAt(chart, index).map(({ name, text }) => `${name} ${text}`).join(', ');
  plot.setAttribute('aria-valuenow', String(index));
  plot.setAttribute('aria-valuetext', `${chart.labels[index]}: ${said}`);
}

// Above the place if the window has room for it there, else below, else as high as the window goes.
function placeFor(height, top, begins, ends) {
  if (top + begins >= height) return begins - height;
  return top + ends + height <= window.innerHeight ? ends : -top;
}

// Above the place it speaks of, within the chart's width: moving straight up reaches it.
function position(plot, tooltip, index) {
  const { chart, area } = charts.get(plot);
  const centre = area.left + ((index + 0.5) / chart.labels.length) * area.width;
  const left = Math.max(0, Math.min(plot.clientWidth - tooltip.offsetWidth, centre - tooltip.offsetWidth / 2));
  const top = placeFor(tooltip.offsetHeight, plot.getBoundingClientRect().top, area.top, area.top + area.height + AXIS_PX);
  tooltip.style.setProperty('left', `${left}px`);
  tooltip.style.setProperty('top', `${top}px`);
  const frame = plot.parentElement;
  frame.classList.add('pointing');
  frame.style.setProperty('--at', `${centre}px`);
  frame.style.setProperty('--start', `${area.top}px`);
  frame.style.setProperty('--length', `${area.height}px`);
}

function lingerThenHide(plot) {
  const state = charts.get(plot);
  clearTimeout(state.timer);
  state.timer = setTimeout(() => hide(plot), LINGER_MS);
}

function hide(plot) {
  const state = charts.get(plot);
  clearTimeout(state.timer);
  state.at = null;
  const tooltip = tooltipOf(plot);
  if (tooltip) tooltip.hidden = true;
  plot.parentElement?.classList.remove('pointing');
}

function tooltipOf(plot) {
  return document.getElementById(plot.id.replace('plot-', 'tooltip-'));
}
