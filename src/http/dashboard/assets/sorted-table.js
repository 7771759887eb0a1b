// A table that is sorted by its heads, in the browser: all its rows are there.

import { h } from './dom.js';
import { choice } from './filters.js';
import { count } from './format.js';
import { address, change } from './state.js';

/** The rows in the order that its name says, `-` first for descending: `columns` are `[{ name, value(row, ascending), ascending }]`,
 * of which `ascending` says which way it is sorted first. */
export function ranked(rows, columns, order) {
  const ascending = !order.startsWith('-');
  const column = columns.find(({ name }) => name === order.replace('-', ''));
  if (!column) return rows;
  const keyed = rows.map((row, index) => ({ row, index, value: column.value(row, ascending) }));
  const compare = (one, other) => (typeof one === 'string' ? one.localeCompare(other, 'en') : one === other ? 0 : one < other ? -1 : 1);
  keyed.sort((one, other) => (ascending ? 1 : -1) * compare(one.value, other.value) || one.index - other.index);
  return keyed.map(({ row }) => row);
}

/** The table. `rows` are `[{ key, cells }]` in their order, `order` is the name of it. */
export function sortedTable({ id, title, state, columns, order, rows }, ...more) {
  return h('div', { class: 'card flush', 'data-key': `table-${id}` },
    sortedBy(columns, order),
    h('div', { class: 'across', role: 'region', tabindex: '0', 'aria-label': title },
      h('table', { class: 'rows', role: 'table', id },
        h('caption', { class: 'unseen' }, title),
        h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map((column) => head(state, column, order)))),
        h('tbody', { role: 'rowgroup' }, rows.map(({ key, cells }) => h('tr', { role: 'row', 'data-key': key },
          cells.map((content, index) => cell(columns[index], index, content))))))),
    more);
}

// In the hand there are no heads to press.
function sortedBy(columns, order) {
  return h('div', { class: 'sort-by', 'data-key': 'sort-by' }, choice('Sort by', 'order', order, columns.filter(({ name }) => name)
    .flatMap(({ name, words }) => [[name, `${words}, ascending`], [`-${name}`, `${words}, descending`]])));
}

function head(state, { name, words, number, ascending }, order) {
  const attributes = { role: 'columnheader', scope: 'col', class: number ? 'number' : null };
  if (!name) return h('th', attributes, h('span', { class: 'head' }, words));
  const sorted = order === name ? 'ascending' : order === `-${name}` ? 'descending' : 'none';
  // Figures are first wanted from the top, names from A, days from the earliest.
  const next = sorted === 'descending' || (sorted === 'none' && ascending) ? name : `-${name}`;
  return h('th', { ...attributes, 'aria-sort': sorted }, sortLink(address(change(state, { order: next })), words, sorted));
}

/** What a head holds that sorts its table: a link, and the words alone where heads are not on the screen. */
export function sortLink(href, words, sorted) {
  return [
    h('a', { class: 'sort', href, 'data-action': 'link' }, words,
      h('span', { class: 'arrow', 'aria-hidden': 'true' }, { ascending: '↑', descending: '↓', none: '↕' }[sorted])),
    h('span', { class: 'unseen instead' }, words),
  ];
}

function cell({ words, number }, index, content) {
  const attributes = { class: number ? 'number' : null, 'data-label': words };
  const inner = h('span', { class: 'cell' }, content);
  return index === 0 ? h('th', { role: 'rowheader', scope: 'row', ...attributes }, inner) : h('td', { role: 'cell', ...attributes }, inner);
}

/** What leads to the rows that are left out, or nothing; `most` are shown. */
export function allButton(state, total, things, most = Number(state.rows)) {
  if (total <= most) return null;
  return h('p', { class: 'pager' }, `The first ${count(most)} are shown. `,
    h('a', { class: 'button', href: address(change(state, { rows: '100000' })), 'data-action': 'link', id: 'show-all' }, `Show all ${count(total)} ${things}`));
}
