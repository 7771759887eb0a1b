// Seats that could be taken back: those that nobody uses, held for as long as they are idle, so that a new starter is
// never among them.

import { url } from './api.js';
import { h } from './dom.js';
import { count, dateIn, plural } from './format.js';
import { paged } from './loader.js';
import { namedPath, shown } from './names.js';
import { allButton, ranked, sortedTable } from './sorted-table.js';
import { address, change } from './state.js';

const DAY_MS = 86_400_000;
const PAGE_ROWS = 1000;
const PAGES_MAX = 10;

// The chips, by the filters that they stand for.
const CHIPS = [
  { id: 'never', words: 'Never used', filters: { activated: 'false', inactive_days: undefined, held_days: '30' } },
  { id: 'idle-30', words: 'Idle 30 days', filters: { activated: undefined, inactive_days: '30', held_days: '30' } },
  { id: 'idle-90', words: 'Idle 90 days', filters: { activated: undefined, inactive_days: '90', held_days: '90' } },
];

const pressed = (state, { filters }) => state.status === 'active' && Object.entries(filters).every(([name, value]) => state[name] === value);

function addressOf({ base, state }, filters, more) {
  return url(`${base}/licenses/assignments`, {
    organization_id: state.organization_id, license_source: state.license_source, user: state.user, email: state.email, as_of: state.as_of,
    status: 'active', ...filters, ...more,
  });
}

const rowsOf = (plan, chip) => paged(plan.slot, 'reclaim',
  (cursor) => addressOf(plan, chip.filters, { sort: 'organization', limit: PAGE_ROWS, cursor }), { most: PAGES_MAX, later: true });

/** Whether one of the chips stands for the filters of the state. */
export function isReclaim(state) {
  return CHIPS.some((chip) => pressed(state, chip));
}

/** What the chips count, and, where one is pressed, its rows by organization. */
export function reclaimRequests(plan) {
  const chosen = CHIPS.find((chip) => pressed(plan.state, chip));
  return [
    ...CHIPS.map((chip) => ({ name: `chip ${chip.id}`, address: addressOf(plan, chip.filters, { limit: 1 }), later: true })),
    ...chosen ? rowsOf(plan, chosen).requests : [],
  ];
}

/** The chips with their counts. One that is pressed leads back to all seats. */
export function reclaimChips(plan) {
  const { state, slot } = plan;
  return h('fieldset', { class: 'chips', 'data-key': 'reclaim-chips' }, h('legend', { class: 'label' }, 'Seats to reclaim'),
    h('div', { class: 'chip-row' }, CHIPS.map((chip) => {
      const isPressed = pressed(state, chip);
      const filters = isPressed ? { activated: undefined, inactive_days: undefined, held_days: undefined } : { ...chip.filters, status: 'active' };
      const total = slot(`chip ${chip.id}`).body?.total;
      return h('button', {
        type: 'button', class: 'chip', id: `chip-${chip.id}`, 'data-action': 'go', 'data-href': address(change(state, filters)), 'aria-pressed': String(isPressed),
        title: `Held for ${chip.filters.held_days} days or longer`,
      }, chip.words, h('span', { class: 'chip-count' }, total === undefined ? '…' : count(total)));
    })));
}

const COLUMNS = [
  { name: 'organization', words: 'Organization', value: ({ name }) => name },
  { name: 'assigned', words: 'Seats to reclaim', number: true, value: ({ seats }) => seats },
];

/** The seats of the pressed chip by organization, or nothing. */
export function reclaimSums(plan) {
  const { state, slot } = plan;
  const chosen = CHIPS.find((chip) => pressed(state, chip));
  if (!chosen || !slot('reclaim').body) return null;
  const total = slot('reclaim').body.total;
  if (total === 0) return null;
  const { bodies } = rowsOf(plan, chosen);
  const sums = new Map();
  for (const row of bodies.flatMap(({ rows }) => rows)) {
    const known = sums.get(row.organization_id) ?? { id: row.organization_id, name: shown(row.organization, row.organization_id), seats: 0 };
    sums.set(row.organization_id, { ...known, seats: known.seats + 1 });
  }
  const summed = [...sums.values()].reduce((sum, { seats }) => sum + seats, 0);
  const order = state.order ?? '-assigned';
  const rows = ranked([...sums.values()], COLUMNS, order).slice(0, Number(state.rows));
  return h('details', { class: 'reclaim', 'data-key': 'reclaim', open: true },
    h('summary', null, h('strong', { id: 'reclaim-total' }, plural(total, 'seat', 'seats')), ` could be reclaimed in ${plural(sums.size, 'organization', 'organizations')}`),
    summed < total ? h('p', { class: 'note' }, `By organization are the first ${count(summed)}.`) : null,
    sortedTable({
      id: 'reclaim', title: 'Seats to reclaim by organization', state, columns: COLUMNS, order,
      rows: rows.map(({ id, name, seats }) => ({
        key: id,
        cells: [h('a', { href: address(change(state, { organization_id: id, order: undefined })), 'data-action': 'link' }, namedPath(name)), count(seats)],
      })),
    }, allButton(state, sums.size, 'organizations')));
}

/** Why a seat is or is not in use, in words: `now` is the moment that the report speaks of, in milliseconds. */
export function reason({ status, last_assignment: assigned, last_active_use: used, activated }, timezone, now) {
  const begun = `assigned ${dateIn(assigned, timezone)}`;
  if (status === 'revoked') return activated ? `${begun}, was used until it was revoked` : `${begun}, revoked without use`;
  const days = (instant) => Math.max(0, Math.floor((now - Date.parse(instant)) / DAY_MS));
  if (!used) return `${begun}, never used: idle for ${plural(days(assigned), 'day', 'days')}`;
  const idle = days(used);
  const since = idle === 0 ? 'in use' : `idle for ${plural(idle, 'day', 'days')}`;
  return `${begun}, last used ${dateIn(used, timezone)}: ${since}`;
}
