// Usage of all organizations that have a plan: who runs out, and when.

import { h } from './dom.js';
import { cutSign, s } from './drawing.js';
import { chips, filterBar, asOf, expert, summary, text } from './filters.js';
import { count, dateIn, day, decimal, plural } from './format.js';
import { paged } from './loader.js';
import { folded, namedPath, shown } from './names.js';
import { organizationField } from './organizations.js';
import { url } from './api.js';
import { CSV, copyButton, exportButton, heading, loading, stateCard } from './parts.js';
import { STATUS } from './quota.js';
import { allButton, ranked, sortedTable } from './sorted-table.js';
import { address, change } from './state.js';

const PAGE_ROWS = 1000;
const PAGES_MAX = 20;
// Where bars end: a third beyond the usual allowance.
const BAR_PERCENT = 150;

const listed = ({ base, state, slot }) => paged(slot, 'quotas',
  (cursor) => url(`${base}/quota`, { as_of: state.as_of, limit: PAGE_ROWS, cursor }), { most: PAGES_MAX });

export const view = {
  name: 'usage-overview',
  main: 'quotas',
  thing: 'usage of all organizations',

  requests: (plan) => listed(plan).requests,

  exports: ({ base, state }) => ({
    quotas: { address: url(`${base}/quota`, { as_of: state.as_of, status: state.quota_status, ...CSV }), file: `quota-${state.account}` },
  }),

  top: ({ state, organizations, slot }) => [
    heading('Usage', exportButton('quotas', 'the usage of all organizations', exported(state, slot('quotas').body)), copyButton('overview')),
    filterBar(
      organizationField({ chosen: null, organizations, whole: 'All organizations' }),
      text('Search', 'search', state.search, { placeholder: 'Part of name or id' }),
      expert(Boolean(state.as_of), asOf(state))),
  ],

  body(plan, { by_status: counts, total, timezone }) {
    const { state, organizations } = plan;
    if (!organizations && !plan.slot('organizations').error) return { nodes: [loading('the organizations')], charts: [] };
    if (organizations?.byId.size === 0) {
      return { nodes: [stateCard({ title: 'No organization yet', text: 'Usage is counted per organization, and no event of this account has named one that you may see.' })], charts: [] };
    }
    const said = summary({ ...plan, range: null, timezone }, null);
    if (total === 0) {
      return { nodes: [said, stateCard({ title: 'No plan', text: 'No organization has a plan at this time, so tests are counted against no quota. Choose an organization to see its tests.' })], charts: [] };
    }
    const all = listed(plan).bodies.flatMap(({ rows }) => rows);
    const found = state.search ? all.filter((row) => isNamed(row, state.search)) : all;
    const rows = ranked(found.filter(({ status }) => !state.quota_status || status === state.quota_status), COLUMNS, state.order ?? '-percent');
    const byStatus = state.search ? statusChips(state, countsOf(found), found.length) : statusChips(state, counts, total);
    return { nodes: [said, byStatus, matches(state, rows.length, all.length, total), table(state, rows, timezone), rest(organizations, total)], charts: [] };
  },
};

function isNamed(row, search) {
  return folded(`${row.organization}\n${row.organization_id}`).includes(folded(search));
}

function countsOf(rows) {
  const counts = { within: 0, grace: 0, exhausted: 0 };
  for (const { status } of rows) counts[status] += 1;
  return counts;
}

// The API filters by status alone, so the file has more rows than a search shows.
function exported({ quota_status: status }, body) {
  if (!body) return '';
  return status ? ` of all ${count(body.by_status[status])} ${STATUS[status].words.toLowerCase()}` : ` of all ${count(body.total)}`;
}

// The line is always there, so that nothing moves when a filter is chosen.
function matches({ search, quota_status: status }, found, known, total) {
  const some = known < total ? `, of the first ${count(known)} so far` : '';
  return h('p', { class: 'note', 'data-key': 'matches', id: 'matches', role: 'status' },
    search || status ? `${plural(found, 'organization matches', 'organizations match')}${some}.` : `${plural(total, 'organization has', 'organizations have')} a plan.`);
}

function statusChips(state, counts, total) {
  const words = (name, status) => [STATUS[status].words, ' ', h('span', { class: 'chip-count' }, count(counts[name]))];
  return chips('Status', 'quota_status', state.quota_status ?? '', [
    ['', ['All ', h('span', { class: 'chip-count' }, count(total))]],
    ...['exhausted', 'grace', 'within'].map((status) => [status, words(status, status)]),
  ]);
}

function rest(organizations, total) {
  const without = (organizations?.byId.size ?? 0) - total;
  return without > 0 ? h('p', { class: 'note', 'data-key': 'rest' }, `${plural(without, 'organization has no plan; it', 'organizations have no plan; they')} can be chosen above.`) : null;
}

// Percentages that are not there, of unlimited plans, come after all others.
const last = (value, ascending) => value ?? (ascending ? Infinity : -Infinity);

const COLUMNS = [
  { name: 'organization', words: 'Organization', ascending: true, value: ({ organization }) => organization },
  { name: 'percent', words: 'Used', value: ({ percent_used: percent }, ascending) => last(percent, ascending) },
  { name: 'used', words: 'Tests', number: true, value: ({ used }) => used },
  { name: null, words: 'Status' },
  { name: 'runs_out', words: 'Estimate', ascending: true, value: (row, ascending) => row.pace?.runs_out_on ?? (row.status === 'exhausted' ? '0' : ascending ? '9' : '') },
  { name: 'resets', words: 'Resets on', ascending: true, value: ({ window }) => window.end },
];

function table(state, rows, timezone) {
  if (rows.length === 0) return stateCard({ title: 'No organization matches', text: 'Choose another status, or search for something else.' });
  const most = Number(state.rows);
  return sortedTable({
    id: 'overview', title: 'Usage by organization', state, columns: COLUMNS, order: state.order ?? '-percent',
    rows: rows.slice(0, most).map((row) => line(state, row, timezone)),
  }, allButton(state, rows.length, 'organizations'));
}

function line(state, row, timezone) {
  const name = shown(row.organization, row.organization_id);
  return {
    key: row.organization_id,
    cells: [
      h('a', { href: address(change(state, { organization_id: row.organization_id, search: undefined, quota_status: undefined, order: undefined, rows: '100' })), 'data-action': 'link' }, namedPath(name)),
      row.monthly_quota === null ? h('span', null, 'Unlimited') : [h('span', { class: 'percent' }, `${decimal(row.percent_used)} %`), bar(row)],
      [count(row.used), row.monthly_quota === null ? null : h('span', { class: 'of' }, ` of ${count(row.monthly_quota)}`)],
      status(row),
      estimate(row, timezone),
      dateIn(row.window.end, timezone),
    ],
  };
}

function status(row) {
  const { words, tone } = STATUS[row.status];
  return [
    h('span', { class: `badge tone-${tone}` }, row.monthly_quota === null ? 'Unlimited' : words),
    row.status === 'exhausted' ? h('span', { class: 'remark' }, 'no tests may run; results may be uploaded') : null,
  ];
}

function estimate(row, timezone) {
  if (row.status === 'exhausted') return h('span', { class: 'remark' }, 'used up');
  if (!row.pace && row.monthly_quota === null) return none();
  if (!row.pace) return h('span', { class: 'remark' }, 'needs seven days');
  if (row.pace.runs_out_on) return h('strong', { class: 'never' }, `runs out on ${day(row.pace.runs_out_on)}`);
  return `about ${count(row.pace.projected_used)} by ${dateIn(row.window.end, timezone)}`;
}

function none() {
  return h('span', { class: 'remark' }, '–');
}

// In percent of the quota, so that the lines of all quotas stand below each other.
function bar({ percent_used: used, monthly_quota: quota, allowance, pace, status: level }) {
  const at = (percent) => `${(Math.min(Math.max(percent, 0), BAR_PERCENT) * 100) / BAR_PERCENT}%`;
  const share = (tests) => (quota > 0 ? (tests * 100) / quota : 100);
  // Nothing runs beyond the allowance.
  const projected = pace && level !== 'exhausted' ? share(Math.min(pace.projected_used, allowance)) : used;
  return s('svg', { class: `quota-bar level-${level}`, 'aria-hidden': 'true', focusable: 'false', width: '100%', height: 14 },
    s('rect', { class: 'bar-quota', width: at(100), height: '100%' }),
    allowance > quota ? s('rect', { class: 'bar-grace', x: at(100), width: at(share(allowance) - 100), height: '100%' }) : null,
    projected > used ? s('rect', { class: 'bar-projected', y: '20%', x: at(used), width: at(Math.min(projected, BAR_PERCENT) - used), height: '60%' }) : null,
    s('rect', { class: 'bar-used', y: '20%', width: at(used), height: '60%' }),
    s('line', { class: 'bar-line', x1: at(100), x2: at(100), y1: 0, y2: '100%' }),
    used > BAR_PERCENT ? cutSign(14) : null);
}
