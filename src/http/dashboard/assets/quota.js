// The quota month as it fills, with its figures, and the quota months of before.

import { h } from './dom.js';
import { figure } from './figure.js';
import { count, dateIn, day, dayIn, decimal, exactly, momentIn, shortDay } from './format.js';
import { named } from './names.js';
import { addDays, daysIn } from './range.js';

/** The words and the tone of each status. */
export const STATUS = {
  within: { words: 'Within quota', tone: 'good' },
  grace: { words: 'In the grace allowance', tone: 'warn' },
  exhausted: { words: 'Exhausted', tone: 'bad' },
};

/** The first day of the quota month, as the account's zone has it. */
export function firstDay({ window }, timezone) {
  return dayIn(window.start, timezone);
}

/**
 * The quota of now with its figures. `points` are the days of the month so far, or null while they are not known: the chart
 * has its place then. `today` is the day of the report, `seats` the address of the organization's seats, or null, and `days`
 * that of the days of its month.
 */
export function quotaNow(quota, timezone, { points, today, seats, days }) {
  const chart = filling(quota, timezone, points, today);
  const nodes = h('section', { class: 'card quota', 'data-key': 'quota', 'aria-labelledby': 'quota-title' },
    h('h2', { id: 'quota-title' }, 'Quota this month'),
    used(quota, days),
    h('div', { class: 'quota-facts' }, verdict(quota, timezone), facts(quota, timezone),
      seats ? h('p', null, h('a', { id: 'quota-seats', href: seats, 'data-action': 'link' }, 'Seats of this organization')) : null));
  return { nodes: [nodes, figure(chart)], charts: [chart] };
}

function used(quota, days) {
  const of = quota.monthly_quota === null ? 'tests used, unlimited' : `of ${count(quota.monthly_quota)} tests used`;
  return h('p', { class: 'used' }, 
    h('strong', { id: 'quota-used' }, h('a', { class: 'plain', href: days, 'data-action': 'link', 'data-target': 'plot-tests', 'aria-label': `${count(quota.used)} tests used: see the days of the month` }, count(quota.used))),
    h('span', null, of),
    quota.percent_used === null ? null : h('span', { class: 'percent', id: 'quota-percent' }, `${decimal(quota.percent_used)} %`));
}

function verdict(quota, timezone) {
  const { words, tone } = STATUS[quota.status];
  const more = quota.can_run ? '' : ' No more tests may run until the quota is reset. Results of tests may still be uploaded.';
  return h('div', { class: `verdict tone-${tone}` },
    h('p', { id: 'quota-status' }, h('strong', null, quota.monthly_quota === null ? 'Within quota: unlimited' : words), more ? '.' : '', more),
    h('p', { id: 'quota-estimate' }, estimate(quota, timezone)));
}

/** What the pace of the week before leads to, in a sentence. */
function estimate({ pace, monthly_quota: quota, window, status }, timezone) {
  const end = dateIn(window.end, timezone);
  if (!pace) return 'There is no estimate yet: it needs seven days since the plan began.';
  const pacing = 'At the pace of the last seven days';
  if (quota === null) return `${pacing} about ${count(pace.projected_used)} tests are used by ${end}.`;
  if (status === 'exhausted') return null;
  if (pace.runs_out_on) return `${pacing} the allowance is reached on ${day(pace.runs_out_on)}.`;
  const left = quota - pace.projected_used;
  if (left >= 0) return `${pacing} ${count(left)} tests of the quota are left over on ${end}.`;
  return `${pacing} ${count(-left)} tests more than the quota are used by ${end}, which the allowance covers.`;
}

function facts(quota, timezone) {
  const number = (value) => (value === null ? 'Unlimited' : count(value));
  const until = dateIn(quota.grace.until, timezone);
  const grace = quota.grace.active ? `${quota.grace.percent} % of the quota may be used until ${until}` : `Ended on ${until}`;
  const rows = [
    ['balance', 'Balance', number(quota.balance)],
    ['remaining', 'May still run', number(quota.remaining)],
    ['allowance', 'Allowance', number(quota.allowance)],
    ['reset', 'Resets on', h('time', { datetime: quota.window.end, title: exactly(quota.window.end) }, momentIn(quota.window.end, timezone))],
    // An unlimited plan needs none.
    ...quota.monthly_quota === null ? [] : [['grace', 'Grace', grace]],
    ['plan', 'Plan', [named(quota.plan), `, month ${quota.window.month}`]],
  ];
  return h('dl', { class: 'facts' }, rows.map(([id, name, value]) => h('div', null, h('dt', null, name), h('dd', { id: `quota-${id}` }, value))));
}

// What was used by the end of each day. It is counted back from what is used now, which knows of plans that came late.
function usedByDay(used, points) {
  let after = 0;
  const backwards = [...points].reverse().map(({ run }) => {
    const by = Math.max(0, used - after);
    after += run;
    return by;
  });
  return backwards.reverse();
}

// The pace is an average of seven days, rounded to hundredths: a seventh of a whole number all the same. Nothing runs beyond
// the allowance.
function projection({ used, pace, allowance, status }, from, days) {
  if (!pace || status === 'exhausted') return null;
  const week = Math.round(pace.daily_average * 7);
  const most = allowance ?? Infinity;
  return Array.from({ length: days }, (_, place) => (place < from ? null : Math.min(most, used + Math.floor((week * (place - from)) / 7))));
}

function filling(quota, timezone, points, asked) {
  const first = firstDay(quota, timezone);
  const lastDay = dayIn(new Date(Date.parse(quota.window.end) - 1).toISOString(), timezone);
  const today = points ? points.length - 1 : Math.max(0, daysIn(first, asked < lastDay ? asked : lastDay) - 1);
  const days = Math.max(today + 1, daysIn(first, lastDay));
  const all = Array.from({ length: days }, (_, place) => addDays(first, place));
  const flat = (value) => all.map(() => value);
  const until = points ? usedByDay(quota.used, points) : all.map((_, place) => (place === today ? quota.used : null));
  const ahead = projection(quota, today, days);
  const out = quota.pace?.runs_out_on ?? null;
  const limited = quota.monthly_quota !== null;
  return {
    id: 'month', title: 'The month as it fills', rowHead: 'Day',
    note: ahead ? `The projection is an estimate: it goes on as the last seven days did${limited ? ', up to the allowance' : ''}.` : null,
    partial: true, partialAt: today,
    labels: all.map((text, place) => (place === today ? `${day(text)}, so far` : day(text))), ticks: all.map(shortDay),
    series: [
      { name: 'Used', values: all.map((_, place) => until[place] ?? null), kind: 'bar', color: 'used' },
      ...limited ? [
        { name: 'Quota', values: flat(quota.monthly_quota), kind: 'step', color: 'limit', plain: true },
        { name: 'Allowance', values: flat(quota.allowance), kind: 'step', color: 'allowance', dash: 'dash', plain: true },
      ] : [],
      ...ahead ? [{ name: 'Projection (estimate)', values: ahead, kind: 'line', color: 'peak', dash: 'dot', plain: true }] : [],
      ...out ? [{ name: 'Reaches the allowance', values: all.map((text, place) => (text === out ? ahead[place] : null)), kind: 'mark', color: 'over', aside: true }] : [],
    ],
    extra: [{ name: 'Tests run on the day', show: (place) => (points?.[place] ? count(points[place].run) : '–') }],
  };
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
