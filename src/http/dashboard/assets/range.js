// Date ranges and intervals. Days are `YYYY-MM-DD` strings in the account's zone and are counted as such: no clock of the
// browser has a part in it. What day it is there is known from the reports, whose `to` defaults to it.

/** The presets, in the order in which they are offered. */
export const PRESETS = [
  ['7d', '7 days'], ['30d', '30 days'], ['90d', '90 days'],
  ['month', 'This month'], ['quarter', 'This quarter'], ['year', 'This year'], ['all', 'All'],
];

/** The intervals, finest first. */
export const INTERVALS = [['day', 'Day'], ['week', 'Week'], ['month', 'Month'], ['quarter', 'Quarter'], ['year', 'Year']];

/** Buckets that a report has at most. */
export const BUCKETS_MAX = 1000;

/** Before any event that can be counted, in whatever zone. */
export const BEFORE_ALL = '1999-12-31';

const DAY_MS = 86_400_000;

/** The day that lies `days` after. */
export function addDays(day, days) {
  return new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Days from `from` to `to`, both included. */
export function daysIn(from, to) {
  return Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
}

/** Whether the text is a day of the calendar. */
export function isDay(text) {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text ?? '')) return false;
  const time = Date.parse(text);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** The first day of a preset that ends today; `first` is the first day with data. */
export function presetStart(preset, today, first) {
  const [year, month] = today.split('-').map(Number);
  const of = (startMonth) => `${year}-${String(startMonth).padStart(2, '0')}-01`;
  switch (preset) {
    case '7d': return addDays(today, -6);
    case '90d': return addDays(today, -89);
    case 'month': return of(month);
    case 'quarter': return of(month - ((month - 1) % 3));
    case 'year': return of(1);
    case 'all': return first ?? of(1);
    default: return addDays(today, -29);
  }
}

const DAYS_OF = { day: 1, week: 7, month: 28, quarter: 90, year: 365 };

/** Whether a report of that many days may have such buckets. */
export function fits(interval, days) {
  // A range may begin and end within a bucket, but not within a day.
  const begun = interval === 'day' ? 0 : 1;
  return Math.ceil(days / DAYS_OF[interval]) + begun <= BUCKETS_MAX;
}

/** The interval for a range where nobody has chosen one: fine enough to see, coarse enough to read. */
export function automatic(days, finest) {
  const wanted = days <= 120 ? 'day' : days <= 732 ? 'week' : days <= 7320 ? 'month' : 'year';
  return finest === 'week' && wanted === 'day' ? 'week' : wanted;
}
