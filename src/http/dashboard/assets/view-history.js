// License history: how many seats are purchased, assigned and activated, the gaps between, and where they did not suffice.

import { serverNow, url } from './api.js';
import { h } from './dom.js';
import { figure } from './figure.js';
import { filters, summary } from './filters.js';
import { bucket, count, percent, plural, tick } from './format.js';
import { extent } from './loader.js';
import { changed, figureCard, figureCards, heading, stateCard } from './parts.js';
import { address, change, forView } from './state.js';
import { endOfDay } from './zone.js';

export const view = {
  name: 'license-history',
  main: 'history',
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
    const known = { ...plan, timezone };
    const chart = seats(known, points);
    const quiet = points.every((point) => point.purchased + point.peak_assigned + point.activated === 0);
    const empty = stateCard({ title: 'No seats in this period', text: 'None was purchased, assigned or activated. Choose a longer period or another organization.' });
    return quiet ? { nodes: [said, empty], charts: [] } : { nodes: [said, cards(plan, points), overage(known, points), figure(chart)], charts: [chart] };
  },
};

// What the seats are called: an organization has an allocation, the account a purchase.
function words({ organization_id: organization }) {
  return organization ? { has: 'Allocated', owned: 'allocated', whole: 'the allocation' } : { has: 'Purchased', owned: 'purchased', whole: 'the purchase' };
}

function cards({ state, interval }, points) {
  const last = points.at(-1);
  const before = points.at(-2);
  const against = before ? bucket(before, interval) : null;
  const { has, owned } = words(state);
  const share = (part, whole, name) => (whole > 0 ? `${percent(part, whole)} of ${name}` : null);
  const than = (read) => (before ? changed(read(last), read(before), against) : null);
  const rows = (filters) => address({ ...forView(state, 'assignments'), status: 'active', ...filters });
  const free = ({ purchased, assigned }) => purchased - assigned;
  const idle = ({ assigned, activated }) => assigned - activated;
  const over = -free(last);
  return figureCards(
    figureCard({ id: 'purchased', name: has, value: count(last.purchased), remark: than(({ purchased }) => purchased) }),
    figureCard({ id: 'assigned', name: 'Assigned', value: count(last.assigned), remark: [share(last.assigned, last.purchased, owned), than(({ assigned }) => assigned)], href: rows({}) }),
    figureCard({ id: 'activated', name: 'Activated', value: count(last.activated), remark: [share(last.activated, last.assigned, 'assigned'), than(({ activated }) => activated)], href: rows({ activated: 'true' }) }),
    over <= 0
      ? figureCard({ id: 'free', name: 'Free seats', value: count(-over), remark: [share(-over, last.purchased, owned), than(free)] })
      : figureCard({ id: 'free', name: 'Over', value: count(over), remark: [`${plural(over, 'seat more is', 'seats more are')} assigned than ${owned}`, than((point) => -free(point))], tone: 'bad', href: rows({ sort: '-last_assignment' }) }),
    figureCard({ id: 'idle', name: 'Never used', value: count(idle(last)), remark: [share(idle(last), last.assigned, 'assigned'), than(idle)], tone: idle(last) > 0 && idle(last) * 4 > last.assigned ? 'warn' : undefined, href: rows({ activated: 'false' }) }));
}

// Bills go by the highest moment, which no end of a day need show.
function overage(plan, points) {
  const worst = points.reduce((most, point) => (point.peak_overage > most.peak_overage ? point : most));
  const { whole, owned } = words(plan.state);
  const [unit, units] = { day: ['day', 'days'] }[plan.interval] ?? ['period', 'periods'];
  if (worst.peak_overage === 0) {
    return h('p', { class: 'finding tone-good', 'data-key': 'overage', id: 'overage' }, `At no moment of the period were more seats assigned than ${owned}.`);
  }
  const times = points.filter(({ peak_overage: over }) => over > 0).length;
  return h('p', { class: 'finding tone-bad', 'data-key': 'overage', id: 'overage' },
    `At most ${plural(worst.peak_overage, 'seat', 'seats')} over ${whole}: `,
    h('a', { href: leadOf(plan, worst), 'data-action': 'link' }, bucket(worst, plan.interval)),
    `. It happened in ${times} of ${count(points.length)} ${units}.`,
    // The two maxima are independent: purchases change within a bucket too.
    ` The most seats assigned within that ${unit}, whether at that moment or at another: ${count(worst.peak_assigned)}.`);
}

// From a period to its days, from a day to the seats that were assigned by its end, the latest first.
function leadOf({ state, interval, timezone }, { start, end }) {
  if (interval !== 'day') return address(change(state, { from: start, to: end, interval: 'day' }));
  const over = endOfDay(end, timezone);
  const asked = state.as_of ? Date.parse(state.as_of) : serverNow();
  const moment = over !== null && over < asked ? new Date(over).toISOString() : state.as_of;
  return address({ ...forView(state, 'assignments'), as_of: moment, held_days: '0', status: 'all', sort: '-last_assignment' });
}

function seats(plan, points) {
  const { state, interval } = plan;
  const column = (name) => points.map((point) => point[name]);
  const higher = points.map(({ purchased, assigned }) => Math.max(purchased, assigned));
  const top = ({ purchased, peak_overage: over }) => purchased + over;
  const isOver = points.some(({ peak_overage: over }) => over > 0);
  const bands = [
    { name: 'Assigned, never used', lower: column('activated'), upper: column('assigned'), color: 'idle', pattern: 'lines' },
    { name: 'Free', lower: column('assigned'), upper: higher, color: 'free' },
  ];
  if (isOver) {
    // Upwards from the purchase that is drawn: what was purchased and assigned at that moment is not known.
    bands.push({ name: `Over ${words(state).whole}`, lower: column('purchased'), upper: points.map(top), color: 'over', pattern: 'cross' });
  }
  return {
    id: 'seats', title: 'Seats over time', partial: points.at(-1).partial,
    note: `Lines show how it stood at the end of ${interval === 'day' ? 'the day' : 'the period'}${isOver ? `; marks show, above ${words(state).whole}, by how many seats it was exceeded at most.` : '.'}`,
    labels: points.map((point) => bucket(point, interval)), ticks: points.map((point) => tick(point, interval)),
    links: points.map((point) => leadOf(plan, point)), leads: interval === 'day' ? 'See the seats' : 'See its days',
    series: [
      { name: words(state).has, values: column('purchased'), kind: 'step', color: 'purchased', dash: 'dash', symbol: 'square' },
      { name: 'Assigned', values: column('assigned'), kind: 'step', color: 'assigned', symbol: 'circle' },
      { name: 'Activated', values: column('activated'), kind: 'step', color: 'activated', dash: 'dot', symbol: 'diamond' },
      ...isOver ? [{ name: `Most over ${words(state).whole}`, values: points.map((point) => (point.peak_overage > 0 ? top(point) : null)), kind: 'mark', color: 'over', aside: true }] : [],
    ],
    bands,
    extra: [
      { name: 'Free', show: (index) => count(points[index].purchased - points[index].assigned) },
      { name: 'Never used', show: (index) => count(points[index].assigned - points[index].activated) },
      { name: 'Highest assigned', show: (index) => count(points[index].peak_assigned) },
      { name: 'Highest over', show: (index) => count(points[index].peak_overage) },
    ],
  };
}
