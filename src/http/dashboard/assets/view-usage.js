// License usage: the seats that are assigned against the people who work, and which organization makes what of them.

import { url } from './api.js';
import { comparison } from './comparison.js';
import { figure } from './figure.js';
import { filters, summary } from './filters.js';
import { bucket, count, day, decimal, isCut, span, tick } from './format.js';
import { extent } from './loader.js';
import { describe } from './messages.js';
import { changed, figureCard, figureCards, heading, loading, stateCard } from './parts.js';
import { BEFORE_ALL, addDays, daysIn } from './range.js';
import { address, forView } from './state.js';

export const view = {
  name: 'license-usage',
  main: 'usage',
  thing: 'license usage',

  extent: ({ base, state }) => extent(`${base}/licenses/usage`, { organization_id: state.organization_id, as_of: state.as_of },
    (point) => point.assigned + point.active_users > 0),

  requests(plan) {
    const { base, query, state, slot } = plan;
    const usage = { name: 'usage', address: url(`${base}/licenses/usage`, query) };
    const { key, body } = slot('usage');
    const answered = key === usage.address ? body : null;
    const period = answered ? chosenPeriod(answered.points, state) : null;
    // One bucket of the very same edges: comparing all organizations over all buckets would be a large answer.
    const edges = period ? { from: period.start, to: period.end } : {};
    const compared = { ...query, interval: 'year', ...edges, group_by: 'organization' };
    const wanted = [usage];
    // The bucket that the address names has its edges from the answer.
    if (!state.period || answered) wanted.push({ name: 'comparison', address: url(`${base}/licenses/usage`, compared) });
    const before = answered ? periodBefore(plan, answered) : null;
    if (before) wanted.push({ name: 'before', address: url(`${base}/licenses/usage`, { ...query, interval: 'year', ...before }), later: true });
    return wanted;
  },

  top: (plan) => [heading('License usage'), filters(plan, { whole: 'All organizations' })],

  body(plan, report) {
    const { points, timezone } = report;
    const said = summary({ ...plan, timezone }, plan.state.organization_id);
    if (points.length === 0) {
      return { nodes: [said, stateCard({ title: 'Nothing has begun yet', text: 'The whole period lies in the future. Choose an earlier one.' })], charts: [] };
    }
    const quiet = points.every((point) => point.assigned + point.active_users === 0);
    const empty = stateCard({ title: 'No seats and no activity in this period', text: 'Nobody held a seat and nobody worked. Choose a longer period or another organization.' });
    if (quiet) return { nodes: [said, empty], charts: [] };
    const chart = activity(plan, points);
    return { nodes: [said, cards(plan, report), figure(chart), compared(plan, points)], charts: [chart] };
  },
};

function chosenPeriod(points, state) {
  return points.find(({ start }) => start === state.period) ?? null;
}

// As many days as the report has, right before it; of a period that is not over, as many as there were.
function periodBefore({ today }, { from, to }) {
  const last = today && today < to ? today : to;
  const start = addDays(from, -daysIn(from, last));
  return start > BEFORE_ALL && last >= from ? { from: start, to: addDays(from, -1) } : null;
}

function cards(plan, report) {
  const { state, slot } = plan;
  const { summary: now } = report;
  const { body } = slot('before');
  const edges = periodBefore(plan, report);
  const before = body && edges?.from === body.from && edges.to === body.to ? body.summary : null;
  const against = edges ? span(edges.from, edges.to) : '';
  const than = (name, show) => (before ? changed(now[name], before[name], against, show) : null);
  const people = (filters) => address({ ...forView(state, 'assignments'), ...filters });
  const onPeak = now.peak_day ? address({ ...forView(state, 'license-usage'), range: undefined, from: now.peak_day, to: now.peak_day, interval: 'day' }) : undefined;
  return figureCards(
    figureCard({ id: 'assigned', name: 'Assigned seats', value: count(now.assigned), remark: than('assigned'), href: people({ status: 'active' }) }),
    figureCard({ id: 'active-users', name: 'Active users', value: count(now.active_users), remark: than('active_users'), href: people({ status: 'active', activated: 'true', sort: '-last_active_use' }) }),
    figureCard({ id: 'share', name: 'Active share', value: now.active_percent === null ? '–' : `${decimal(now.active_percent)} %`, remark: ['of assigned seats', before ? changed(now.active_percent, before.active_percent, against, (value) => `${decimal(value)} points`) : null], href: people({ status: 'active', inactive_days: '30', held_days: '30' }) }),
    figureCard({ id: 'peak', name: 'Peak daily active users', value: count(now.peak_daily_active_users), remark: [now.peak_day ? day(now.peak_day) : null, than('peak_daily_active_users')], href: onPeak }),
    figureCard({ id: 'average', name: 'Average daily active users', value: decimal(now.average_daily_active_users), remark: than('average_daily_active_users', decimal), href: plan.interval === 'day' ? undefined : address({ ...state, interval: 'day' }) }));
}

function activity({ interval, state }, points) {
  const column = (name) => points.map((point) => point[name]);
  // Of a single day, peak and average are the active users themselves.
  const daily = interval === 'day';
  return {
    id: 'activity', title: 'Assigned seats and active users', partial: points.at(-1).partial, cut: points.map((point) => isCut(point, interval)),
    note: daily ? 'Active users are the distinct people who worked on that day.' : 'Active users are the distinct people who worked in the period; peak and average are of its single days.',
    labels: points.map((point) => bucket(point, interval)), ticks: points.map((point) => tick(point, interval)),
    links: points.map(({ start }) => address({ ...state, period: start })), leads: 'Compare the organizations then',
    series: [
      { name: 'Active users', values: column('active_users'), kind: 'bar', color: 'active' },
      { name: 'Assigned', values: column('assigned'), kind: 'step', color: 'assigned' },
      ...daily ? [] : [
        { name: 'Peak per day', values: column('peak_daily_active_users'), kind: 'line', color: 'peak', dash: 'dash', symbol: 'triangle' },
        { name: 'Average per day', values: column('average_daily_active_users'), kind: 'line', color: 'average', dash: 'dot', symbol: 'diamond', show: decimal },
      ],
    ],
    extra: daily ? [
      { name: 'Peak per day', show: (index) => count(points[index].peak_daily_active_users) },
      { name: 'Average per day', show: (index) => decimal(points[index].average_daily_active_users) },
    ] : [],
  };
}

function compared(plan, points) {
  const { state, slot, organizations } = plan;
  const { body, error } = slot('comparison');
  if (error && !body) return stateCard({ ...describe(error, { account: state.account, thing: 'comparison' }), key: 'comparison' });
  if (!body) return loading('the comparison');
  const rows = body.series.map(({ organization_id: id, summary: figures }) => ({ id, name: organizations?.byId.get(id)?.name ?? id, summary: figures }));
  if (rows.length === 0) return stateCard({ title: 'No organizations below this one', text: 'There is nothing to compare here.', key: 'comparison' });
  return comparison(plan, rows, points, chosenPeriod(points, state));
}
