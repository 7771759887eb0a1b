// The quota of now as a gauge with its figures, and the quota months of before.

import { h } from './dom.js';
import { figure } from './figure.js';
import { count, dateIn, decimal, exactly, momentIn } from './format.js';
import { named } from './names.js';

const STATUS = {
  within: { words: 'Within quota', tone: 'good' },
  grace: { words: 'In the grace allowance', tone: 'warn' },
  exhausted: { words: 'Exhausted', tone: 'bad' },
};

/** The gauge with balance, grace and reset date. */
export function quotaNow(quota, timezone) {
  const limited = quota.monthly_quota !== null;
  const nodes = h('section', { class: 'card quota', 'data-key': 'quota', 'aria-labelledby': 'quota-title' },
    h('h2', { id: 'quota-title' }, 'Quota this month'),
    limited ? dial(quota) : h('div', { class: 'unlimited' }, used(quota)),
    h('div', { class: 'quota-facts' }, verdict(quota), facts(quota, timezone)),
    limited ? table(quota) : null);
  const gauge = { used: quota.used, quota: quota.monthly_quota, allowance: quota.allowance, level: quota.status };
  return { nodes: [nodes], charts: limited ? [{ id: 'quota', gauge }] : [] };
}

function dial(quota) {
  return h('div', { class: 'dial', role: 'img', 'aria-label': `${count(quota.used)} of ${count(quota.monthly_quota)} tests used, ${decimal(quota.percent_used)} percent` },
    h('div', { class: 'plot plot-gauge', id: 'plot-quota', 'data-key': 'plot', 'data-keep': true }),
    used(quota));
}

function used(quota) {
  const of = quota.monthly_quota === null ? 'tests used, unlimited' : `of ${count(quota.monthly_quota)} tests used`;
  return h('p', { class: 'used' }, h('strong', { id: 'quota-used' }, count(quota.used)), h('span', null, of),
    quota.percent_used === null ? null : h('span', { class: 'percent', id: 'quota-percent' }, `${decimal(quota.percent_used)} %`));
}

function verdict(quota) {
  const { words, tone } = STATUS[quota.status];
  const more = quota.can_run ? '' : ' No more tests may run until the quota is reset.';
  return h('p', { class: `verdict tone-${tone}`, id: 'quota-status' }, h('strong', null, words), more);
}

function facts(quota, timezone) {
  const number = (value) => (value === null ? 'Unlimited' : count(value));
  const until = dateIn(quota.grace.until, timezone);
  const active = quota.monthly_quota === null ? `Until ${until}; an unlimited plan needs none`
    : `${quota.grace.percent} % of the quota may be used until ${until}`;
  const grace = quota.grace.active ? active : `Ended on ${until}`;
  const rows = [
    ['balance', 'Balance', number(quota.balance)],
    ['remaining', 'May still run', number(quota.remaining)],
    ['allowance', 'Allowance', number(quota.allowance)],
    ['reset', 'Resets on', h('time', { datetime: quota.window.end, title: exactly(quota.window.end) }, momentIn(quota.window.end, timezone))],
    ['grace', 'Grace', grace],
    ['plan', 'Plan', [named(quota.plan), `, month ${quota.window.month}`]],
  ];
  return h('dl', { class: 'facts' }, rows.map(([id, name, value]) => h('div', null, h('dt', null, name), h('dd', { id: `quota-${id}` }, value))));
}

function table(quota) {
  const rows = [['Used', quota.used], ['Monthly quota', quota.monthly_quota], ['Allowance', quota.allowance], ['Balance', quota.balance], ['May still run', quota.remaining]];
  return h('details', { class: 'as-table', id: 'table-quota' }, h('summary', null, 'Show as table'),
    h('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': 'Quota this month, as a table' },
      h('table', null, h('caption', { class: 'unseen' }, 'Quota this month'),
        h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Figure'), h('th', { scope: 'col', class: 'number' }, 'Tests'))),
        h('tbody', null, rows.map(([name, value]) => h('tr', null, h('th', { scope: 'row' }, name), h('td', { class: 'number' }, count(value))))))));
}

/** The quota months, oldest first. The newest one is always the running one. */
export function quotaHistory({ windows }, timezone, ...controls) {
  const oldestFirst = [...windows].reverse();
  const limit = (name) => oldestFirst.map((month) => month[name]);
  const last = oldestFirst.length - 1;
  const name = ({ window }, index) => `${dateIn(window.start, timezone)} – ${dateIn(window.end, timezone)}${index === last ? ', so far' : ''}`;
  const tick = ({ window }) => {
    const [date, month, year] = dateIn(window.start, timezone).split(' ');
    return last < 12 ? `${date} ${month}` : `${month} ${year}`;
  };
  const shown = (value) => (value === null ? 'Unlimited' : count(value));
  const chart = {
    id: 'months', title: 'Quota history', rowHead: 'Quota month',
    note: 'Each month runs from its first day up to the start of the next one.',
    labels: oldestFirst.map(name), ticks: oldestFirst.map(tick), partial: true,
    series: [
      { name: 'Used', values: limit('used'), kind: 'bar', color: 'used' },
      { name: 'Quota', values: limit('monthly_quota'), kind: 'step', color: 'limit', show: shown },
      { name: 'Allowance', values: limit('allowance'), kind: 'step', color: 'allowance', dash: 'dash', symbol: 'diamond', show: shown },
    ],
    extra: [
      { name: 'Balance', show: (index) => shown(oldestFirst[index].balance) },
      { name: 'Plan', show: (index) => oldestFirst[index].plan },
      { name: 'Status', show: (index) => STATUS[oldestFirst[index].status].words },
    ],
  };
  return { nodes: [figure(chart, ...controls)], charts: [chart] };
}
