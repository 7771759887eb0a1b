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
// Without a choice, as the address leaves it out.
const ROWS_USUAL = '100';
const ORGANIZATIONS_FIRST = 10;

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
  { name: 'organization', words: 'Organization', ascending: true, value: ({ name }) => name },
  { name: 'assigned', words: 'Seats to reclaim', number: true, value: ({ seats }) => seats },
];

const chosenOf = (state) => CHIPS.find((chip) => pressed(state, chip));

/** How many seats the pressed chip stands for, above its rows, and where they are by organization; or nothing. */
export function reclaimTotal(plan, total) {
  const chosen = chosenOf(plan.state);
  if (!chosen) return null;
  const { sums, isWhole } = sumsOf(plan, chosen);
  return h('p', { class: 'finding tone-warn', 'data-key': 'reclaim-total' },
    h('strong', { id: 'reclaim-total' }, plural(total, 'seat', 'seats')), ' could be reclaimed',
    isWhole ? ` in ${plural(sums.size, 'organization', 'organizations')}` : '', '. ',
    h('a', { href: '#reclaim-title', 'data-action': 'jump' }, 'By organization'));
}

// Of what is there so far, and whether that is all.
function sumsOf(plan, chosen) {
  const { bodies } = rowsOf(plan, chosen);
  const sums = new Map();
  for (const row of bodies.flatMap(({ rows }) => rows)) {
    const known = sums.get(row.organization_id) ?? { id: row.organization_id, name: shown(row.organization, row.organization_id), seats: 0 };
    sums.set(row.organization_id, { ...known, seats: known.seats + 1 });
  }
  const summed = [...sums.values()].reduce((sum, { seats }) => sum + seats, 0);
  return { sums, summed, isWhole: bodies.length > 0 && !bodies.at(-1).next_cursor };
}

/** The seats of the pressed chip by organization, or nothing. They stand below the rows, which they are a sum of. */
export function reclaimSums(plan, total) {
  const { state } = plan;
  const chosen = chosenOf(state);
  if (!chosen) return null;
  const { sums, summed, isWhole } = sumsOf(plan, chosen);
  const order = state.order ?? '-assigned';
  const most = state.rows === ROWS_USUAL ? ORGANIZATIONS_FIRST : Number(state.rows);
  const rows = ranked([...sums.values()], COLUMNS, order).slice(0, most);
  return h('div', { class: 'below', 'data-key': 'reclaim' },
    h('h2', { id: 'reclaim-title', tabindex: '-1' }, 'Seats to reclaim by organization'),
    isWhole ? null : h('p', { class: 'note' }, `Summed are the first ${count(summed)} of ${count(total)}.`),
    rows.length === 0 ? null : sortedTable({
      id: 'reclaim', title: 'Seats to reclaim by organization', state, columns: COLUMNS, order,
      rows: rows.map(({ id, name, seats }) => ({
        key: id,
        cells: [h('a', { href: address(change(state, { organization_id: id, order: undefined, rows: ROWS_USUAL })), 'data-action': 'link' }, namedPath(name)), count(seats)],
      })),
    }, allButton(state, sums.size, 'organizations', most)));
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
