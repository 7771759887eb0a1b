// Assignments: who holds a seat, and whether it is used.

import { serverNow, url } from './api.js';
import { h } from './dom.js';
import { asOf, choice, expert, filterBar, summary, text } from './filters.js';
import { count, exactly, momentIn, plural } from './format.js';
import { named, namedPath, shown } from './names.js';
import { organizationField } from './organizations.js';
import { CSV, copyButton, exportButton, heading, stateCard } from './parts.js';
import { isReclaim, reason, reclaimChips, reclaimRequests, reclaimSums, reclaimTotal } from './reclaim.js';
import { sortLink } from './sorted-table.js';
import { ASSIGNMENT_FILTERS, address, change } from './state.js';

const COLUMNS = [
  ['user', 'User', true], ['email', 'Email', true], ['license_source', 'License source', false], ['organization', 'Organization', true],
  ['project', 'TestOps project', false], ['last_assignment', 'Last assignment', true], ['last_active_use', 'Last active use', true],
  ['status', 'Status', false],
];

// The filters of the table, as the API takes them.
function filtersOf(state) {
  const query = { sort: state.sort, as_of: state.as_of };
  for (const name of ASSIGNMENT_FILTERS) query[name] = state[name];
  return query;
}

export const view = {
  name: 'assignments',
  main: 'assignments',
  thing: 'list of assignments',

  requests: (plan) => [{
    name: 'assignments',
    address: url(`${plan.base}/licenses/assignments`, { ...filtersOf(plan.state), limit: plan.state.limit, cursor: plan.state.cursor }),
  }, ...reclaimRequests(plan)],

  exports: ({ base, state }) => ({
    assignments: {
      address: url(`${base}/licenses/assignments`, { ...filtersOf(state), ...CSV }),
      file: `assignments-${state.account}`,
    },
  }),

  top: (plan) => [heading('Assignments', exportButton('assignments', 'all filtered assignments'), copyButton('assignments')), tools(plan), reclaimChips(plan)],

  body(plan, { rows, total, next_cursor: next, timezone }) {
    const { state } = plan;
    const said = summary({ ...plan, range: null, timezone }, state.organization_id);
    if (total === 0) {
      const filtered = ASSIGNMENT_FILTERS.some((name) => state[name] !== undefined && !(name === 'status' && state.status === 'active'));
      const words = filtered
        ? { title: 'Nobody matches these filters', text: 'Loosen one of them, or reset them all.' }
        : { title: 'No seats are assigned', text: 'Seats appear here as soon as one is assigned to somebody.' };
      return { nodes: [said, stateCard(words, filtered ? h('p', null, resetButton('button')) : null)], charts: [] };
    }
    return { nodes: [said, assignedBy(state, timezone), reclaimTotal(plan, total), table(state, rows, timezone), pager(state, rows.length, total, next), reclaimSums(plan, total)], charts: [] };
  },
};

// The API tells seats as they are now: of a past moment it knows which of them were assigned by then.
function assignedBy({ as_of: moment, held_days: held, status }, timezone) {
  if (!moment || held !== '0') return null;
  const later = status === 'active' ? '' : '; some may have been revoked before that moment';
  return h('p', { class: 'note', 'data-key': 'assigned-by', id: 'assigned-by' },
    `Seats whose last assignment was at or before ${momentIn(moment, timezone)}. Status and last use are those of now${later}.`);
}

function tools({ state, organizations }) {
  return filterBar(
    organizationField({ chosen: state.organization_id, organizations, whole: 'All organizations' }),
    text('User', 'user', state.user, { placeholder: 'Part of the name' }),
    text('Email', 'email', state.email, { placeholder: 'Part of the address' }),
    choice('Status', 'status', state.status, [['active', 'Active'], ['revoked', 'Revoked'], ['all', 'All']]),
    choice('Activated', 'activated', state.activated, [['', 'Any'], ['true', 'Yes'], ['false', 'No']]),
    choice('Sort by', 'sort', state.sort, COLUMNS.filter(([, , sortable]) => sortable)
      .flatMap(([name, words]) => [[name, `${words}, ascending`], [`-${name}`, `${words}, descending`]])),
    expert(Boolean(state.license_source || state.as_of || (!isReclaim(state) && (state.held_days || state.inactive_days))),
      text('Inactive for', 'inactive_days', state.inactive_days, { placeholder: 'At least so many days' }),
      text('Held for', 'held_days', state.held_days, { placeholder: 'At least so many days' }),
      text('License source', 'license_source', state.license_source, { placeholder: 'Exact' }),
      asOf(state)),
    h('div', { class: 'field', 'data-key': 'reset' }, resetButton('button')));
}

function resetButton(style) {
  return h('button', { type: 'button', class: style, 'data-action': 'reset-filters' }, 'Reset Filters');
}

function table(state, rows, timezone) {
  const now = state.as_of ? Date.parse(state.as_of) : serverNow();
  return h('div', { class: 'card flush', 'data-key': 'table' },
    h('div', { class: 'across', role: 'region', tabindex: '0', 'aria-label': 'Assignments' },
      h('table', { class: 'rows', role: 'table', id: 'assignments' },
        h('caption', { class: 'unseen' }, 'Assignments'),
        h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, COLUMNS.map((column) => head(state, column)))),
        h('tbody', { role: 'rowgroup' }, rows.map((row) => line(state, row, timezone, now))))));
}

function head(state, [name, words, sortable]) {
  if (!sortable) return h('th', { role: 'columnheader', scope: 'col' }, h('span', { class: 'head' }, words));
  const order = state.sort === name ? 'ascending' : state.sort === `-${name}` ? 'descending' : 'none';
  const next = order === 'ascending' ? `-${name}` : name;
  return h('th', { role: 'columnheader', scope: 'col', 'aria-sort': order },
    sortLink(address(change(state, { sort: next })), words, order));
}

function line(state, row, timezone, now) {
  const person = address({ ...state, person: row.user_id, person_name: beginning(row.user) });
  const cell = (label, ...content) => h('td', { role: 'cell', 'data-label': label }, h('span', { class: 'cell' }, content));
  return h('tr', { role: 'row', 'data-key': `${row.organization_id}\n${row.user_id}` },
    cell('User', h('a', { href: person, 'data-action': 'link', class: 'person-link' }, named(shown(row.user, row.user_id)))),
    cell('Email', row.email ? named(breakable(row.email)) : none()),
    cell('License source', named(row.license_source)),
    cell('Organization', namedPath(shown(row.organization, row.organization_id))),
    cell('TestOps project', row.project === null ? none() : named(shown(row.project, row.project_id))),
    cell('Last assignment', moment(row.last_assignment, timezone)),
    cell('Last active use', row.last_active_use ? moment(row.last_active_use, timezone) : h('span', { class: 'never' }, 'Never')),
    cell('Status', status(row), h('span', { class: 'remark' }, reason(row, timezone, now))));
}

// Enough of a name to find it by, and not too much for an address.
function beginning(name) {
  return [...name].slice(0, 100).join('');
}

// A long address breaks before its @ rather than within a word.
function breakable(email) {
  const [name, ...places] = email.split('@');
  return [name, ...places.flatMap((place) => [h('wbr'), `@${place}`])];
}

function none() {
  return [h('span', { 'aria-hidden': 'true' }, '–'), h('span', { class: 'unseen' }, 'none')];
}

/** A moment in the account's zone; the exact one, in UTC, shows on hover and is in the element. */
export function moment(instant, timezone) {
  return h('time', { datetime: instant, title: exactly(instant) }, momentIn(instant, timezone));
}

/** Whether a seat is held, and whether it was ever used. */
export function status({ status: held, activated }) {
  if (held === 'revoked') return h('span', { class: 'badge' }, 'Revoked');
  return activated ? h('span', { class: 'badge tone-good' }, 'Activated') : h('span', { class: 'badge tone-warn' }, 'Not activated');
}

function pager(state, shown, total, next) {
  const page = Number(state.page);
  const first = (page - 1) * Number(state.limit) + 1;
  const to = (words, target, id) => (target
    ? h('a', { class: 'button', href: address(target), 'data-action': 'link', 'data-page': 'true', id }, words)
    : h('button', { type: 'button', class: 'button', disabled: true, id }, words));
  const after = next ? { ...state, cursor: next, page: String(page + 1) } : null;
  // Cursors lead forwards alone; the way back is the browser's, and failing that the start.
  const earlier = history.state?.earlier;
  return h('nav', { class: 'pager', 'aria-label': 'Pages', 'data-key': 'pager' },
    h('p', { id: 'shown', role: 'status' }, `${count(first)}–${count(first + shown - 1)} of ${plural(total, 'seat', 'seats')}`),
    choice('Per page', 'limit', state.limit, [...new Set(['25', '50', '100', state.limit])].map((size) => [size, size])),
    h('div', { class: 'actions' },
      page > 1 ? to('First', change(state, {}), 'page-first') : null,
      page > 1 && earlier?.length ? to('Previous', { ...state, cursor: earlier.at(-1) ?? undefined, page: String(page - 1) }, 'page-previous') : null,
      to('Next', after, 'page-next')));
}
