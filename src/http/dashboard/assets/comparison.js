// The organizations below the chosen one beside each other: those that matter as bars, all of them as a table.

import { h } from './dom.js';
import { cutSign, s } from './drawing.js';
import { choice } from './filters.js';
import { bucket, count, decimal, percent, plural } from './format.js';
import { named } from './names.js';
import { copyButton } from './parts.js';
import { allButton, ranked, sortedTable } from './sorted-table.js';
import { address, change } from './state.js';

// Bars that can be told apart; what is left of them is one bar more.
const LARGEST_MAX = 7;
const LOWEST_MAX = 4;

// A share that is not there comes after all others in both directions.
const shareOf = ({ summary }, ascending) => summary.active_percent ?? (ascending ? Infinity : -Infinity);

const COLUMNS = [
  { name: 'organization', words: 'Organization', ascending: true, value: ({ name }) => name },
  { name: 'assigned', words: 'Assigned', number: true, value: ({ summary }) => summary.assigned },
  { name: 'active', words: 'Active users', number: true, value: ({ summary }) => summary.active_users },
  { name: 'share', words: 'Active share', number: true, value: shareOf },
  { name: 'peak', words: 'Peak per day', number: true, value: ({ summary }) => summary.peak_daily_active_users },
  { name: 'average', words: 'Average per day', number: true, value: ({ summary }) => summary.average_daily_active_users },
];

/** Bars and table. `rows` are `[{ id, name, summary }]`, `points` the periods to compare in, `chosen` one of them or null. */
export function comparison({ state, interval }, rows, points, chosen) {
  const order = state.order ?? '-assigned';
  const periods = choice('Compared in', 'period', chosen?.start ?? '', [
    ['', 'The whole period'], ...points.map((point) => [point.start, bucket(point, interval)]).reverse(),
  ]);
  const largest = ranked(rows, COLUMNS, '-assigned');
  const most = Number(state.rows);
  return [
    h('section', { class: 'card chart', 'data-key': 'comparison', 'aria-labelledby': 'comparison-title' },
      h('div', { class: 'chart-head' }, h('h2', { id: 'comparison-title' }, 'By organization'), periods, copyButton('comparison')),
      h('p', { class: 'note' }, rows.length > LARGEST_MAX + LOWEST_MAX + 1
        ? `Drawn are the ${LARGEST_MAX} with the most seats and the ${LOWEST_MAX} that use the smallest share of theirs; the table has all ${count(rows.length)}. Each with all organizations below it.`
        : 'Each with all organizations below it.'),
      h('ul', { class: 'legend', 'aria-label': 'Legend' },
        h('li', null, h('span', { class: 'swatch swatch-box color-assigned', 'aria-hidden': 'true' }), 'Assigned'),
        h('li', null, h('span', { class: 'swatch swatch-box color-active', 'aria-hidden': 'true' }), 'Active users')),
      bars(state, largest)),
    sortedTable({
      id: 'comparison', title: 'Usage by organization', state, columns: COLUMNS, order,
      rows: ranked(rows, COLUMNS, order).slice(0, most).map((row) => line(state, row)),
    }, allButton(state, rows.length, 'organizations')),
  ];
}

function pageOf(state, id) {
  return address(change(state, { organization_id: id, period: undefined, order: undefined, rows: '100' }));
}

function line(state, { id, name, summary }) {
  return {
    key: id,
    cells: [
      h('a', { href: pageOf(state, id), 'data-action': 'link' }, named(name)),
      count(summary.assigned), count(summary.active_users),
      summary.active_percent === null ? '–' : `${decimal(summary.active_percent)} %`,
      count(summary.peak_daily_active_users), decimal(summary.average_daily_active_users),
    ],
  };
}

// The largest, and of the others those with the lowest share; the rest as one.
function chosenOf(largest) {
  if (largest.length <= LARGEST_MAX + LOWEST_MAX + 1) return { shown: largest, rest: [] };
  const others = ranked(largest.slice(LARGEST_MAX).filter(({ summary }) => summary.assigned > 0), COLUMNS, 'share');
  const shown = [...largest.slice(0, LARGEST_MAX), ...others.slice(0, LOWEST_MAX)];
  return { shown, rest: largest.filter((row) => !shown.includes(row)) };
}

function bars(state, largest) {
  const { shown, rest } = chosenOf(largest);
  const seats = rest.reduce((sum, { summary }) => sum + summary.assigned, 0);
  const most = Math.max(1, ...shown.flatMap(({ summary }) => [summary.assigned, summary.active_users]));
  return h('ul', { class: 'bars', id: 'bars', 'aria-label': 'Assigned seats and active users by organization' },
    shown.map(({ id, name, summary }) => h('li', { 'data-key': `bar-${id}` },
      h('a', { class: 'bar-name', href: pageOf(state, id), 'data-action': 'link' }, named(name)),
      pair(most, summary.assigned, summary.active_users),
      h('span', { class: 'bar-words' }, `${plural(summary.assigned, 'seat', 'seats')}, ${count(summary.active_users)} active`,
        summary.assigned > 0 ? ` (${percent(summary.active_users, summary.assigned)})` : ''))),
    // Who is active in several of them must not be counted twice, so the rest has seats alone.
    rest.length > 0 ? h('li', { 'data-key': 'bar-rest' }, h('span', { class: 'bar-name' }, `${count(rest.length)} others`),
      pair(most, seats, 0), h('span', { class: 'bar-words' }, plural(seats, 'seat', 'seats'), seats > most ? '; the bar is cut' : '')) : null);
}

function pair(most, assigned, active) {
  const wide = (value) => `${(Math.min(value, most) * 100) / most}%`;
  return s('svg', { class: 'bar-pair', 'aria-hidden': 'true', focusable: 'false', width: '100%', height: 20 },
    s('rect', { class: 'color-assigned', width: wide(assigned), height: 9 }),
    s('rect', { class: 'color-active', y: 10, width: wide(active), height: 9 }),
    assigned > most ? cutSign(10) : null);
}
