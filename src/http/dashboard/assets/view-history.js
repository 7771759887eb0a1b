// License history: how many seats are purchased, assigned and activated, and the gaps between.

import { url } from './api.js';
import { figure } from './figure.js';
import { filters, summary } from './filters.js';
import { bucket, count, day, percent, plural, signed, tick } from './format.js';
import { extent } from './loader.js';
import { figureCard, figureCards, heading, stateCard } from './parts.js';

export const view = {
  name: 'license-history',
  main: 'history',
  drawn: true,
  thing: 'license history',

  extent: ({ base, state }) => extent(`${base}/licenses/history`, { organization_id: state.organization_id, as_of: state.as_of },
    (point) => point.purchased + point.assigned + point.activated > 0),

  requests: ({ base, query }) => [{ name: 'history', address: url(`${base}/licenses/history`, query) }],

  top: (plan) => [heading('License history'), filters(plan, { whole: 'All organizations' })],

  body(plan, { points, timezone }) {
    const said = summary({ ...plan, timezone }, plan.state.organization_id);
    if (points.length === 0) {
      return { nodes: [said, stateCard({ title: 'Nothing has begun yet', text: 'The whole period lies in the future. Choose an earlier one.' })], charts: [] };
    }
    const chart = seats(plan, points);
    const quiet = points.every((point) => point.purchased + point.assigned + point.activated === 0);
    const empty = stateCard({ title: 'No seats in this period', text: 'None was purchased, assigned or activated. Choose a longer period or another organization.' });
    return quiet ? { nodes: [said, empty], charts: [] } : { nodes: [said, cards(plan, points), figure(chart)], charts: [chart] };
  },
};

function cards({ state }, points) {
  const first = points[0];
  const last = points.at(-1);
  const free = last.purchased - last.assigned;
  const idle = last.assigned - last.activated;
  const since = (name) => `${signed(last[name] - first[name])} since ${day(first.end)}`;
  const [has, owned] = state.organization_id ? ['Allocated', 'allocated'] : ['Purchased', 'purchased'];
  const share = (part, whole, words) => (whole > 0 ? `${percent(part, whole)} of ${words}` : null);
  return figureCards(
    figureCard({ id: 'purchased', name: has, value: count(last.purchased), remark: since('purchased') }),
    figureCard({ id: 'assigned', name: 'Assigned', value: count(last.assigned), remark: since('assigned') }),
    figureCard({ id: 'activated', name: 'Activated', value: count(last.activated), remark: since('activated') }),
    free >= 0
      ? figureCard({ id: 'free', name: 'Free seats', value: count(free), remark: share(free, last.purchased, owned) })
      : figureCard({ id: 'free', name: 'Over', value: count(-free), remark: `${plural(-free, 'seat more is', 'seats more are')} assigned than ${owned}`, tone: 'bad' }),
    figureCard({ id: 'idle', name: 'Never used', value: count(idle), remark: share(idle, last.assigned, 'assigned'), tone: idle > 0 && idle * 4 > last.assigned ? 'warn' : undefined }));
}

function seats({ state, interval }, points) {
  const column = (name) => points.map((point) => point[name]);
  const higher = points.map(({ purchased, assigned }) => Math.max(purchased, assigned));
  const over = points.some(({ purchased, assigned }) => assigned > purchased);
  const bands = [
    { name: 'Assigned, never used', lower: column('activated'), upper: column('assigned'), color: 'idle', pattern: '/' },
    { name: 'Free', lower: column('assigned'), upper: higher, color: 'free' },
  ];
  if (over) bands.push({ name: state.organization_id ? 'Over the allocation' : 'Over the purchase', lower: column('purchased'), upper: higher, color: 'over', pattern: 'x' });
  return {
    id: 'seats', title: 'Seats over time', partial: points.at(-1).partial,
    note: 'Each as it stood at the end of the day or period.',
    labels: points.map((point) => bucket(point, interval)), ticks: points.map((point) => tick(point, interval)),
    series: [
      { name: state.organization_id ? 'Allocated' : 'Purchased', values: column('purchased'), kind: 'step', color: 'purchased', dash: 'dash', symbol: 'square' },
      { name: 'Assigned', values: column('assigned'), kind: 'step', color: 'assigned', symbol: 'circle' },
      { name: 'Activated', values: column('activated'), kind: 'step', color: 'activated', dash: 'dot', symbol: 'diamond' },
    ],
    bands,
    extra: [
      { name: 'Free', show: (index) => count(points[index].purchased - points[index].assigned) },
      { name: 'Never used', show: (index) => count(points[index].assigned - points[index].activated) },
    ],
  };
}
