// License usage: the seats that are assigned against the people who work, and which organization makes what of them.

import { url } from './api.js';
import { figure } from './figure.js';
import { choice, filters, summary } from './filters.js';
import { bucket, count, decimal, isCut, percent, plural, tick } from './format.js';
import { extent } from './loader.js';
import { describe } from './messages.js';
import { figureCard, figureCards, heading, loading, stateCard } from './parts.js';
import { address, change } from './state.js';

// Bars that can be told apart; the table has all organizations.
const BARS_MAX = 15;

export const view = {
  name: 'license-usage',
  main: 'usage',
  drawn: true,
  thing: 'license usage',

  extent: ({ base, state }) => extent(`${base}/licenses/usage`, { organization_id: state.organization_id, as_of: state.as_of },
    (point) => point.assigned + point.active_users > 0),

  requests({ base, query, state, slot }) {
    const wanted = [{ name: 'usage', address: url(`${base}/licenses/usage`, query) }];
    const { key, body } = slot('usage');
    const period = key === wanted[0].address && body ? chosenPeriod(body.points, state) : null;
    if (!period) return wanted;
    // One bucket of the very same edges: comparing all organizations over all buckets would be a large answer.
    const compared = { ...query, from: period.start, to: period.end, group_by: 'organization' };
    return [...wanted, { name: 'comparison', address: url(`${base}/licenses/usage`, compared) }];
  },

  top: (plan) => [heading('License usage'), filters(plan, { whole: 'All organizations' })],

  body(plan, { points, timezone }) {
    const said = summary({ ...plan, timezone }, plan.state.organization_id);
    if (points.length === 0) {
      return { nodes: [said, stateCard({ title: 'Nothing has begun yet', text: 'The whole period lies in the future. Choose an earlier one.' })], charts: [] };
    }
    const quiet = points.every((point) => point.assigned + point.active_users === 0);
    const empty = stateCard({ title: 'No seats and no activity in this period', text: 'Nobody held a seat and nobody worked. Choose a longer period or another organization.' });
    if (quiet) return { nodes: [said, empty], charts: [] };
    const chart = activity(plan, points);
    const compared = comparison(plan, points);
    return { nodes: [said, cards(plan, points), figure(chart), compared.node], charts: [chart, ...compared.charts] };
  },
};

function chosenPeriod(points, state) {
  return points.find(({ start }) => start === state.period) ?? points.at(-1) ?? null;
}

function cards({ interval }, points) {
  const last = points.at(-1);
  const when = bucket(last, interval);
  const peak = points.reduce((best, point) => (point.peak_daily_active_users > best.peak_daily_active_users ? point : best));
  return figureCards(
    figureCard({ id: 'assigned', name: 'Assigned seats', value: count(last.assigned), remark: when }),
    figureCard({ id: 'active-users', name: 'Active users', value: count(last.active_users), remark: last.assigned > 0 ? `${percent(last.active_users, last.assigned)} of assigned · ${when}` : when }),
    ...interval === 'day' ? [] : [
      figureCard({ id: 'peak', name: 'Peak daily active users', value: count(last.peak_daily_active_users), remark: when }),
      figureCard({ id: 'average', name: 'Average daily active users', value: decimal(last.average_daily_active_users), remark: when }),
    ],
    figureCard({ id: 'highest', name: 'Highest peak in the period', value: count(peak.peak_daily_active_users), remark: bucket(peak, interval) }),
    // Of a single day, peak and average are the active users themselves; of all of them together they are not.
    interval === 'day' ? figureCard({ id: 'mean', name: 'Average per day in the period', value: decimal(meanOfDays(points)), remark: plural(points.length, 'day', 'days') }) : null);
}

// In hundredths, half up, as the API rounds its averages: a binary fraction would sometimes fall short of the half.
function meanOfDays(points) {
  const sum = points.reduce((total, point) => total + point.active_users, 0);
  return Math.floor((200 * sum + points.length) / (2 * points.length)) / 100;
}

function activity({ interval }, points) {
  const column = (name) => points.map((point) => point[name]);
  // Of a single day, peak and average are the active users themselves.
  const daily = interval === 'day';
  return {
    id: 'activity', title: 'Assigned seats and active users', partial: points.at(-1).partial, cut: points.map((point) => isCut(point, interval)),
    note: daily ? 'Active users are the distinct people who worked on that day.' : 'Active users are the distinct people who worked in the period; peak and average are of its single days.',
    labels: points.map((point) => bucket(point, interval)), ticks: points.map((point) => tick(point, interval)),
    series: [
      { name: 'Active users', values: column('active_users'), kind: 'bar', color: 'active' },
      { name: 'Assigned', values: column('assigned'), kind: 'step', color: 'assigned' },
      ...daily ? [] : [
        { name: 'Peak per day', values: column('peak_daily_active_users'), kind: 'line', color: 'peak', dash: 'dash', symbol: 'triangle-up' },
        { name: 'Average per day', values: column('average_daily_active_users'), kind: 'line', color: 'average', dash: 'dot', symbol: 'diamond', show: decimal },
      ],
    ],
    extra: daily ? perDay(points) : [],
  };
}

function comparison(plan, points) {
  const { state, interval, slot, organizations } = plan;
  const { body, error } = slot('comparison');
  const title = 'By organization';
  if (error && !body) return { node: stateCard({ ...describe(error, { account: state.account, thing: 'comparison' }), key: 'comparison' }), charts: [] };
  if (!body) return { node: loading('the comparison'), charts: [] };
  const rows = body.series
    .map(({ organization_id: id, points: [point] }) => ({ id, name: organizations?.byId.get(id)?.name ?? id, point }))
    .filter(({ point }) => point)
    .sort((one, other) => other.point.assigned - one.point.assigned || other.point.active_users - one.point.active_users);
  const periods = choice('Compared in', 'period', chosenPeriod(points, state)?.start,
    points.map((point) => [point.start, bucket(point, interval)]).reverse());
  if (rows.length === 0) {
    return { node: stateCard({ title: 'No organizations below this one', text: 'There is nothing to compare here.', key: 'comparison' }), charts: [] };
  }
  const charts = [compared(rows.slice(0, BARS_MAX), plan, title)];
  const table = compared(rows, plan, title);
  table.note = rows.length > BARS_MAX ? `The ${BARS_MAX} with the most seats are drawn; the table has all ${count(rows.length)}.` : 'Each with all organizations below it.';
  return { node: figure(table, periods), charts };
}

function compared(rows, { state }, title) {
  const column = (name) => rows.map(({ point }) => point[name]);
  return {
    id: 'comparison', title, horizontal: true, rowHead: 'Organization',
    labels: rows.map(({ name }) => name), ticks: rows.map(({ name }) => name),
    links: rows.map(({ id }) => address(change(state, { organization_id: id, period: undefined }))),
    series: [
      { name: 'Assigned', values: column('assigned'), kind: 'bar', color: 'assigned' },
      { name: 'Active users', values: column('active_users'), kind: 'bar', color: 'active' },
    ],
    extra: perDay(rows.map(({ point }) => point)),
  };
}

function perDay(points) {
  return [
    { name: 'Peak per day', show: (index) => count(points[index].peak_daily_active_users) },
    { name: 'Average per day', show: (index) => decimal(points[index].average_daily_active_users) },
  ];
}
