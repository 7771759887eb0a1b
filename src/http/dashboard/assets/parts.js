// Small pieces that the views are made of.

import { h } from './dom.js';
import { count } from './format.js';

/** A figure with its name, remarks, and where it leads to. `tone` is good, warn or bad. */
export function figureCard({ id, name, value, remark, tone, href }) {
  return h('div', { class: `card stat ${tone ? `tone-${tone}` : ''}`, 'data-key': `stat-${id}`, id: `stat-${id}` },
    h('dt', null, name),
    h('dd', { class: 'stat-value' }, href ? h('a', { href, 'data-action': 'link', 'aria-label': `${value} ${name.toLowerCase()}: see more` }, value) : value),
    [remark].flat().filter(Boolean).map((words) => h('dd', { class: 'stat-remark' }, words)));
}

/** How a figure differs from the one before it, in words and with an arrow; null where there is none before. */
export function changed(now, before, against, show = count) {
  if (before === null || before === undefined || now === null) return null;
  const difference = now - before;
  if (difference === 0) return `no change against ${against}`;
  return h('span', null, h('span', { class: 'change', 'aria-hidden': 'true' }, difference > 0 ? '▲ ' : '▼ '),
    `${difference > 0 ? '+' : '−'}${show(Math.abs(difference))} against ${against}`);
}

/** A row of such figures. */
export function figureCards(...cards) {
  return h('dl', { class: 'stats', 'data-key': 'stats' }, cards);
}

/** The heading of a view, with what can be done on the right. */
export function heading(title, ...actions) {
  return h('div', { class: 'view-head', 'data-key': 'heading' }, h('h1', { id: 'title', tabindex: '-1' }, title),
    actions.length > 0 ? h('div', { class: 'actions' }, actions) : null);
}

/** What an export is asked with: spreadsheets, which most of them go to, know UTF-8 by its byte order mark. */
export const CSV = { format: 'csv', bom: 'true' };

/** A button that fetches the report as CSV; `more` are visible words after that. */
export function exportButton(name, what, more = '') {
  return h('button', { type: 'button', class: 'button', 'data-action': 'export', 'data-name': name, id: `export-${name}` },
    `Export CSV${more}`, what && !more ? h('span', { class: 'unseen' }, ` of ${what}`) : null);
}

/** A button that copies the table with that id as it is on the screen. */
export function copyButton(table) {
  return h('button', { type: 'button', class: 'button', 'data-action': 'copy', 'data-table': table, id: `copy-${table}` }, 'Copy what I see', h('span', { class: 'unseen' }, ' as CSV'));
}

/** A state that stands instead of a report. */
export function stateCard({ title, text, key = 'state', level = 'h2' }, ...more) {
  return h('section', { class: 'card state', 'data-key': key }, h(level, null, title), h('p', null, text), more);
}

/** What stands where a report will be. */
export function loading(what) {
  return h('section', { class: 'card state loading', 'data-key': `loading ${what}`, role: 'status' },
    h('p', null, `Loading ${what}…`), h('div', { class: 'bar', 'aria-hidden': 'true' }), h('div', { class: 'bar short', 'aria-hidden': 'true' }));
}

/** A line that tells something about the figures below it. */
export function notice(words, tone = 'warn') {
  return h('p', { class: `notice tone-${tone}`, role: 'status', 'data-key': `notice ${words}` }, words);
}
