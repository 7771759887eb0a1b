// Usage: an organization's test executions against its quota, week by week and month by month.

import { banner, ownAlerts } from './alerts.js';
import { grantsNoLicenses, serverNow, url } from './api.js';
import { figure } from './figure.js';
import { filters, summary, text } from './filters.js';
import { bucket, count, dayIn, duration, isCut, span, tick } from './format.js';
import { extent, nameOf } from './loader.js';
import { describe } from './messages.js';
import { named } from './names.js';
import { CSV, exportButton, figureCard, figureCards, heading, loading, stateCard } from './parts.js';
import { firstDay, quotaHistory, quotaNow } from './quota.js';
import { address, forView } from './state.js';

const organizationPath = ({ base, organization }) => `${base}/organizations/${encodeURIComponent(organization)}`;

const activityQuery = ({ query, state }) => ({ ...query, organization_id: undefined, project_id: state.project_id });

// The days of the quota month so far.
function monthAddress(path, quota, as_of) {
  return url(`${path}/test-activity`, { from: firstDay(quota, quota.timezone), interval: 'day', as_of });
}

export const view = {
  name: 'usage',
  main: 'test-activity',
  thing: 'usage',
  finest: 'week',

  extent: (plan) => plan.organization && extent(`${organizationPath(plan)}/test-activity`,
    { as_of: plan.state.as_of, project_id: plan.state.project_id }, (point) => point.executions > 0),

  requests(plan) {
    const path = organizationPath(plan);
    const { as_of } = plan.state;
    const quota = { name: 'quota', address: url(`${path}/quota`, { as_of }) };
    const { key, body } = plan.slot('quota');
    const month = key === quota.address && body ? [{ name: 'month', address: monthAddress(path, body, as_of), later: true }] : [];
    return [
      quota,
      { name: 'test-activity', address: url(`${path}/test-activity`, activityQuery(plan)) },
      { name: 'quota-history', address: url(`${path}/quota/history`, { as_of }), later: true },
      ...month,
      ...ownAlerts(plan),
    ];
  },

  exports(plan) {
    const path = organizationPath(plan);
    const { account, as_of } = plan.state;
    return {
      activity: {
        address: url(`${path}/test-activity`, { ...activityQuery(plan), ...CSV }),
        file: `usage-${account}-${plan.organization}`,
      },
      quota: {
        address: url(`${path}/quota/history`, { as_of, ...CSV }),
        file: `quota-${account}-${plan.organization}`,
      },
    };
  },

  top: (plan) => [
    heading(['Usage', plan.organization ? [' of ', named(nameOf(plan))] : null]),
    filters(plan, { whole: 'All organizations', extra: [text('Project', 'project_id', plan.state.project_id, { placeholder: 'Exact id' })] }),
  ],

  body(plan, report) {
    const { points, preceding_week: week, timezone } = report;
    const said = summary({ ...plan, timezone }, plan.organization);
    // What stands below the quota would move when it comes.
    const known = plan.slot('quota');
    if (!known.body && !known.error) return { nodes: [said, loading('the quota')], charts: [] };
    const quota = section(plan, 'quota', (body) => quotaNow(body, timezone, partsOf(plan, body, timezone)));
    const past = section(plan, 'quota-history', (body) => quotaHistory(body, timezone, exportButton('quota', 'the quota history')));
    const chart = activity(plan, points);
    const quiet = points.every((point) => point.executions === 0);
    const empty = stateCard({ title: 'No tests in this period', text: 'None ran, and no results were uploaded. Choose a longer period.', key: 'no-tests' },
      exportButton('activity', 'the test activity'));
    return {
      nodes: [said, banner(plan, timezone), quota.nodes, cards(plan, points, week), quiet ? empty : figure(chart, exportButton('activity', 'the test activity')), past.nodes],
      charts: [...quota.charts, ...quiet ? [] : [chart], ...past.charts],
    };
  },
};

// What the panel of the quota is made of besides the quota.
function partsOf(plan, quota, timezone) {
  const { state } = plan;
  const { key, body } = plan.slot('month');
  return {
    points: body && key === monthAddress(organizationPath(plan), quota, state.as_of) ? body.points : null,
    today: dayIn(state.as_of ?? new Date(serverNow()).toISOString(), timezone),
    seats: grantsNoLicenses(state.account) ? null : address(forView(state, 'assignments')),
    days: address({ ...state, range: undefined, from: firstDay(quota, timezone), to: undefined, interval: 'day' }),
  };
}

// Quota and its history are reports of their own: one may be there while the other is not.
function section(plan, name, draw) {
  const { body, error } = plan.slot(name);
  if (body) return draw(body);
  if (!error) return { nodes: [loading('the quota history')], charts: [] };
  if (error.kind === 'not_found') {
    const none = stateCard({ title: 'No plan', text: 'This organization has no plan at this time, so its tests are counted against no quota.', key: name });
    return { nodes: name === 'quota' ? [none] : [], charts: [] };
  }
  const words = describe(error, { account: plan.state.account, thing: name === 'quota' ? 'quota' : 'quota history' });
  return { nodes: [stateCard({ ...words, key: name })], charts: [] };
}

function cards({ state, interval }, points, week) {
  const days = interval === 'day' ? undefined : address({ ...state, interval: 'day' });
  const daysOfWeek = address({ ...state, range: undefined, from: week.start, to: week.end, interval: 'day' });
  const sum = (name) => points.reduce((total, point) => total + point[name], 0);
  return figureCards(
    figureCard({ id: 'executions', name: 'Executions in the period', value: count(sum('executions')), remark: `${count(sum('run'))} run, ${count(sum('uploaded'))} uploaded`, href: days }),
    figureCard({ id: 'duration', name: 'Duration in the period', value: duration(sum('duration_ms')), remark: `${count(sum('duration_ms'))} ms`, href: days }),
    figureCard({ id: 'week-executions', name: 'Executions, preceding week', value: count(week.executions), remark: span(week.start, week.end), href: daysOfWeek }),
    figureCard({ id: 'week-duration', name: 'Duration, preceding week', value: duration(week.duration_ms), remark: `${count(week.duration_ms)} ms`, href: daysOfWeek }));
}

const ADVERBS = { day: 'Daily', week: 'Weekly', month: 'Monthly', quarter: 'Quarterly', year: 'Yearly' };

function activity({ interval }, points) {
  const column = (name) => points.map((point) => point[name]);
  return {
    id: 'tests', title: `${ADVERBS[interval]} activity`, stacked: true, partial: points.at(-1)?.partial, cut: points.map((point) => isCut(point, interval)),
    labels: points.map((point) => bucket(point, interval)), ticks: points.map((point) => tick(point, interval)),
    series: [
      { name: 'Run', values: column('run'), kind: 'bar', color: 'run' },
      { name: 'Uploaded', values: column('uploaded'), kind: 'bar', color: 'uploaded' },
    ],
    extra: [
      { name: 'Executions', show: (index) => count(points[index].executions) },
      { name: 'Duration', show: (index) => `${duration(points[index].duration_ms)} (${count(points[index].duration_ms)} ms)` },
    ],
  };
}
